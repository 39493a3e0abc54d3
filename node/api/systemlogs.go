package api

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
)

// systemLogs serves the files of the machine's log folder, as /logs/ of
// upstream's kubelet does.
type systemLogs struct{ dir string }

// ServeHTTP implements http.Handler. The folder is opened at each request: it
// may come later.
func (l systemLogs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	root, err := os.OpenRoot(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer root.Close()
	http.StripPrefix("/logs/", http.FileServerFS(plainFiles{root})).ServeHTTP(w, r)
}

// plainFiles are the files and folders below a root. A pod that may write there
// (a collector of logs) leads readers neither out of it, by a symbolic link, nor
// to a pipe that nobody writes to.
type plainFiles struct{ root *os.Root }

// Open implements fs.FS.
func (p plainFiles) Open(name string) (fs.File, error) {
	fi, err := p.root.Stat(name)
	if err != nil {
		return nil, notThere(name, err)
	}
	if !fi.Mode().IsRegular() && !fi.IsDir() {
		return nil, notThere(name, fs.ErrNotExist)
	}
	f, err := p.root.Open(name)
	if err != nil {
		return nil, notThere(name, err)
	}
	return f, nil
}

// notThere makes an answer of 404 of what leads out of the folder.
func notThere(name string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	return &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
