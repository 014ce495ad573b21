package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
)

// proxy stands between a program under test and the API server, and goes silent
// for one resource when told to: connections stay open and nothing comes.
//
//	POST /lab/stall?resource=pods           what streams now is silent for ever
//	POST /lab/stall?resource=pods&all=true  and so is every new request for it
//	POST /lab/flow                          new requests are answered again
func proxy(args []string) {
	f := flag.NewFlagSet("proxy", flag.ContinueOnError)
	address := f.String("addr", "10.99.0.1:6444", "address to listen on")
	server := f.String("server", "https://10.99.0.1:6443", "the API server")
	authority := f.String("ca", "", "the API server's certificates: shown as its own, too")
	key := f.String("key", "", "the API server's key")
	parse(f, args)
	target, err := url.Parse(*server)
	if err != nil {
		fail(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM([]byte(contents(*authority)))
	transport.TLSClientConfig = &tls.Config{RootCAs: trusted}
	forward := httputil.NewSingleHostReverseProxy(target)
	forward.Transport = transport
	forward.FlushInterval = -1
	fail(http.ListenAndServeTLS(*address, *authority, *key, newSilence(forward)))
}

// silence is the handler: it knows which resources are silent.
type silence struct {
	next http.Handler
	mu   sync.Mutex
	// How often a resource's streams were silenced: a stream from before is dead.
	generation map[string]int
	// Resources of which nothing at all is answered.
	all map[string]bool
}

func newSilence(next http.Handler) *silence {
	return &silence{next: next, generation: map[string]int{}, all: map[string]bool{}}
}

func (s *silence) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/lab/stall":
		s.stall(r.FormValue("resource"), r.FormValue("all") == "true")
		fmt.Fprintln(w, "silent")
		return
	case "/lab/flow":
		s.flow()
		fmt.Fprintln(w, "flowing")
		return
	}
	resource := resourceOf(r.URL.Path)
	s.mu.Lock()
	born, dead := s.generation[resource], s.all[resource]
	s.mu.Unlock()
	if dead {
		<-r.Context().Done()
		return
	}
	gone := func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.generation[resource] != born
	}
	s.next.ServeHTTP(&stream{ResponseWriter: w, context: r.Context(), gone: gone}, r)
}

func (s *silence) stall(resource string, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation[resource]++
	s.all[resource] = all
}

func (s *silence) flow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.all)
}

// stream is an answer that stops in the middle, without an end, once it is gone.
type stream struct {
	http.ResponseWriter
	context context.Context
	gone    func() bool
}

func (s *stream) Write(b []byte) (int, error) {
	if s.gone() {
		<-s.context.Done()
		return 0, s.context.Err()
	}
	return s.ResponseWriter.Write(b)
}

func (s *stream) Flush() {
	if !s.gone() {
		s.ResponseWriter.(http.Flusher).Flush()
	}
}

// resourceOf names what a path is about: pods, deployments, ...; empty for the rest.
func resourceOf(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	skip := 2 // api/v1
	if parts[0] == "apis" {
		skip = 3 // apis/apps/v1
	} else if parts[0] != "api" {
		return ""
	}
	if len(parts) <= skip {
		return ""
	}
	parts = parts[skip:]
	if parts[0] == "namespaces" && len(parts) > 2 {
		parts = parts[2:]
	}
	return parts[0]
}
