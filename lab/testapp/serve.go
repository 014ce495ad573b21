package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// serve answers HTTP and does harm when asked to. Environment: VERSION is what /
// says; REQUIRE_ENV names a variable that must be set.
func serve(args []string) {
	f := flag.NewFlagSet("serve", flag.ContinueOnError)
	address := f.String("addr", ":8080", "address to listen on")
	unready := f.Bool("unready", false, "start not ready")
	readyAfter := f.Duration("ready-after", 0, "not ready for so long")
	crashAfter := f.Duration("crash-after", 0, "exit 1 after so long; 0 is never")
	parse(f, args)
	if name := os.Getenv("REQUIRE_ENV"); name != "" && os.Getenv(name) == "" {
		fail(fmt.Errorf("the environment has no %s", name))
	}
	var ready atomic.Bool
	if !*unready {
		time.AfterFunc(*readyAfter, func() { ready.Store(true) })
	}
	if *crashAfter > 0 {
		time.AfterFunc(*crashAfter, func() {
			fail(fmt.Errorf("panic: asked to crash after %s", *crashAfter))
		})
	}
	fmt.Printf("version %s listens on %s\n", os.Getenv("VERSION"), *address)
	go func() { fail(http.ListenAndServe(*address, routes(&ready))) }()
	hold()
}

// routes are the doors of the test server.
func routes(ready *atomic.Bool) http.Handler {
	host, _ := os.Hostname()
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "version=%s host=%s\n", os.Getenv("VERSION"), host)
	})
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			http.Error(w, "not ready", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.HandleFunc("/ready", func(w http.ResponseWriter, r *http.Request) {
		ready.Store(r.FormValue("on") != "false")
		fmt.Fprintln(w, ready.Load())
	})
	mux.HandleFunc("/alloc", func(w http.ResponseWriter, r *http.Request) {
		megabytes, _ := strconv.Atoi(r.FormValue("mb"))
		grow(megabytes, 0)
		fmt.Fprintln(w, "allocated", megabytes)
	})
	mux.HandleFunc("/exit", func(_ http.ResponseWriter, r *http.Request) {
		code, _ := strconv.Atoi(r.FormValue("code"))
		fmt.Fprintln(os.Stderr, "asked over HTTP to leave with", code)
		os.Exit(code)
	})
	return mux
}

// get is an HTTP client with a time limit (Debian 12's busybox crashes on wget -T).
func get(args []string) {
	f := flag.NewFlagSet("get", flag.ContinueOnError)
	limit := f.Duration("timeout", 5*time.Second, "time limit")
	post := f.Bool("post", false, "send standard input as a JSON body")
	authority := f.String("ca", "", "file of certificates to trust")
	token := f.String("token", "", "file with a bearer token")
	urls := parse(f, args)
	if len(urls) != 1 {
		fail(fmt.Errorf("get takes one URL"))
	}
	var body io.Reader
	method := http.MethodGet
	if *post {
		method, body = http.MethodPost, os.Stdin
	}
	question, err := http.NewRequest(method, urls[0], body)
	if err != nil {
		fail(err)
	}
	question.Header.Set("Content-Type", "application/json")
	if *token != "" {
		question.Header.Set("Authorization", "Bearer "+strings.TrimSpace(contents(*token)))
	}
	client := http.Client{Timeout: *limit}
	if *authority != "" {
		trusted := x509.NewCertPool()
		trusted.AppendCertsFromPEM([]byte(contents(*authority)))
		client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	}
	answer, err := client.Do(question)
	if err != nil {
		fail(err)
	}
	defer answer.Body.Close()
	if _, err = io.Copy(os.Stdout, answer.Body); err != nil {
		fail(err)
	}
	if answer.StatusCode/100 != 2 {
		fail(fmt.Errorf("status %s", answer.Status))
	}
}

// contents reads a whole file.
func contents(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		fail(err)
	}
	return string(text)
}
