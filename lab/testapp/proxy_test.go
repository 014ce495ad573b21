package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestResourceOf(t *testing.T) {
	for path, want := range map[string]string{
		"/api/v1/pods": "pods", "/api/v1/namespaces/a/pods/b/log": "pods",
		"/apis/apps/v1/namespaces/a/deployments": "deployments", "/api/v1/namespaces": "namespaces",
		"/api/v1/namespaces/a": "namespaces", "/readyz": "", "/api": "", "/apis/apps": "",
	} {
		if got := resourceOf(path); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// ticking streams a line every few milliseconds, as a busy watch does.
func ticking(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		fmt.Fprintln(w, "tick")
		w.(http.Flusher).Flush()
		time.Sleep(5 * time.Millisecond)
	}
}

func TestAStalledStreamStaysOpenAndSilent(t *testing.T) {
	s := newSilence(http.HandlerFunc(ticking))
	server := httptest.NewServer(s)
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	lines := func(path string) chan string {
		found := make(chan string, 1000)
		question, _ := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+path, nil)
		go func() {
			defer close(found)
			answer, err := http.DefaultClient.Do(question)
			if err != nil {
				return
			}
			defer answer.Body.Close()
			for scanner := bufio.NewScanner(answer.Body); scanner.Scan(); {
				found <- scanner.Text()
			}
		}()
		return found
	}
	pods, nodes := lines("/api/v1/pods?watch=true"), lines("/api/v1/nodes?watch=true")
	<-pods
	<-nodes
	s.stall("pods", true)
	quiet(t, drained(pods))
	quiet(t, lines("/api/v1/pods"))
	<-drained(nodes)
	s.flow()
	quiet(t, pods)
	<-lines("/api/v1/pods?watch=true")
}

// drained takes what was under way already.
func drained(found chan string) chan string {
	time.Sleep(30 * time.Millisecond)
	for len(found) > 0 {
		<-found
	}
	return found
}

func quiet(t *testing.T, found chan string) {
	t.Helper()
	select {
	case line, open := <-found:
		t.Fatalf("%q, still open: %t", line, open)
	case <-time.After(100 * time.Millisecond):
	}
}
