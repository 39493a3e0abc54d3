package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// The demo is its own client, so that an image of this one program can probe
// itself and make load.

// asClient does what the client flags ask for, if any is set.
func asClient(getURL, postURL, loadURL, until string) error {
	switch {
	case getURL != "":
		return request(http.MethodGet, getURL)
	case postURL != "":
		return request(http.MethodPost, postURL)
	case loadURL != "":
		return load(loadURL, until)
	}
	return nil
}

// request prints the answer to one request.
func request(method, url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(os.Stdout, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

// report is what load prints.
type report struct {
	Requests int            `json:"requests"`
	Failed   int            `json:"failed"`
	Errors   map[string]int `json:"errors,omitempty"`
	Answers  map[string]int `json:"answers"`
	Slowest  string         `json:"slowest"`
}

// loadLimit ends a load that nobody ends.
const loadLimit = 10 * time.Minute

// load requests the URL without pause, each time over a new connection, until
// the file named by until exists, and prints a report.
func load(url, until string) error {
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	r := report{Errors: map[string]int{}, Answers: map[string]int{}}
	var slowest time.Duration
	for end := time.Now().Add(loadLimit); time.Now().Before(end); {
		if _, err := os.Stat(until); err == nil {
			break
		}
		start := time.Now()
		answer, err := ask(client, url)
		slowest = max(slowest, time.Since(start))
		r.Requests++
		if err != nil {
			r.Failed++
			r.Errors[err.Error()]++
		} else {
			r.Answers[answer]++
		}
		time.Sleep(2 * time.Millisecond) // a client, not a flood
	}
	r.Slowest = slowest.Round(time.Millisecond).String()
	return json.NewEncoder(os.Stdout).Encode(r)
}

func ask(client *http.Client, url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %s", resp.Status)
	}
	return strings.TrimSpace(string(b)), nil
}
