// Command incluster is a client of the API as people write them: client-go with
// the configuration of a pod. It asks who it is, at the Service's address and
// at its names, and prints a line for each.
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	authv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

func main() {
	if err := run(); err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cfg, err := rest.InClusterConfig()
	if err != nil {
		return err
	}
	for _, host := range []string{cfg.Host, "https://kubernetes.default.svc", "https://kubernetes.default.svc.cluster.local"} {
		at := rest.CopyConfig(cfg)
		at.Host = host
		client, err := kubernetes.NewForConfig(at)
		if err != nil {
			return err
		}
		who, err := client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			return fmt.Errorf("%s: %w", host, err)
		}
		fmt.Println(host, who.Status.UserInfo.Username)
	}
	return nil
}
