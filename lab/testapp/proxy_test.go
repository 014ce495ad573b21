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

func TestTheAnswerToAWriteIsHeldBackUntilItFlows(t *testing.T) {
	arrived := make(chan string, 10)
	s := newSilence(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- r.Method
		w.WriteHeader(http.StatusOK)
	}))
	server := httptest.NewServer(s)
	defer server.Close()
	answered := func(method, path string) chan string {
		found := make(chan string, 1)
		question, _ := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		go func() {
			if answer, err := http.DefaultClient.Do(question); err == nil {
				answer.Body.Close()
				found <- answer.Status
			}
		}()
		return found
	}
	s.hold("pods")
	held := answered(http.MethodDelete, "/api/v1/namespaces/a/pods/b")
	<-arrived
	quiet(t, held)
	<-answered(http.MethodGet, "/api/v1/namespaces/a/pods/b")
	<-answered(http.MethodDelete, "/api/v1/namespaces/a/pods/b?dryRun=All")
	<-answered(http.MethodDelete, "/api/v1/namespaces/a/services/b")
	s.flow()
	<-held
	<-answered(http.MethodDelete, "/api/v1/namespaces/a/pods/b")
}

func TestTheDateIsAhead(t *testing.T) {
	s := newSilence(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
	}))
	server := httptest.NewServer(s)
	defer server.Close()
	ahead := func() time.Duration {
		answer, err := http.Get(server.URL + "/version")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		date, err := http.ParseTime(answer.Header.Get("Date"))
		if err != nil {
			t.Fatal(err)
		}
		return time.Until(date)
	}
	s.date(time.Hour)
	if got := ahead(); got < 59*time.Minute {
		t.Errorf("ahead by %s", got)
	}
	s.flow()
	if got := ahead(); got > time.Minute {
		t.Errorf("still ahead by %s", got)
	}
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
