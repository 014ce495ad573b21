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
	"time"
)

// proxy stands between a program under test and the API server, and does what it
// is told to the answers: for one resource it goes silent (connections stay open
// and nothing comes) or holds back what a write was answered, and it says another
// time than the server's.
//
//	POST /lab/stall?resource=pods           what streams now is silent for ever
//	POST /lab/stall?resource=pods&all=true  and so is every new request for it
//	POST /lab/hold?resource=pods            writes arrive, and their answers wait
//	POST /lab/date?ahead=30s                the Date header is so far ahead
//	POST /lab/flow                          ends all of it
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

// silence is the handler: it knows what is not to be heard as the server says it.
type silence struct {
	next http.Handler
	mu   sync.Mutex
	// How often a resource's streams were silenced: a stream from before is dead.
	generation map[string]int
	// Resources of which nothing at all is answered.
	all map[string]bool
	// Resources of which writes are not answered, until the channel is closed.
	held map[string]chan struct{}
	// How far the Date header is ahead of the server's clock.
	ahead time.Duration
}

func newSilence(next http.Handler) *silence {
	return &silence{
		next: next, generation: map[string]int{}, all: map[string]bool{},
		held: map[string]chan struct{}{},
	}
}

func (s *silence) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/lab/stall":
		s.stall(r.FormValue("resource"), r.FormValue("all") == "true")
		fmt.Fprintln(w, "silent")
		return
	case "/lab/hold":
		s.hold(r.FormValue("resource"))
		fmt.Fprintln(w, "holding")
		return
	case "/lab/date":
		ahead, err := time.ParseDuration(r.FormValue("ahead"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.date(ahead)
		fmt.Fprintln(w, "ahead")
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
	before := func(header http.Header) { s.answer(r, resource, header) }
	s.next.ServeHTTP(&stream{ResponseWriter: w, context: r.Context(), gone: gone, before: before}, r)
}

// answer waits while the answer to this request is held back, and sets its date.
func (s *silence) answer(r *http.Request, resource string, header http.Header) {
	s.mu.Lock()
	released, ahead := s.held[resource], s.ahead
	s.mu.Unlock()
	if released != nil && writes(r) {
		select {
		case <-released:
		case <-r.Context().Done():
		}
	}
	if ahead != 0 {
		header.Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
	}
}

// writes tells a real write from a read and from a rehearsal.
func writes(r *http.Request) bool {
	return r.Method != http.MethodGet && r.URL.Query().Get("dryRun") == ""
}

func (s *silence) stall(resource string, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation[resource]++
	s.all[resource] = all
}

func (s *silence) hold(resource string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held[resource] == nil {
		s.held[resource] = make(chan struct{})
	}
}

func (s *silence) date(ahead time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead = ahead
}

func (s *silence) flow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.all)
	for _, held := range s.held {
		close(held)
	}
	clear(s.held)
	s.ahead = 0
}

// stream is an answer that stops in the middle, without an end, once it is gone.
type stream struct {
	http.ResponseWriter
	context context.Context
	gone    func() bool
	// Called once with the answer's header, before any of it is sent.
	before func(http.Header)
}

func (s *stream) WriteHeader(code int) {
	s.before(s.Header())
	s.ResponseWriter.WriteHeader(code)
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
