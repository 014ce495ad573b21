package main

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestNxdomainAnswersAQuestion(t *testing.T) {
	query := []byte{7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 1, 'a', 0, 0, 1, 0, 1, 99, 99}
	answer := nxdomain(query)
	if answer == nil || answer[3]&0xf != 3 || answer[0] != 7 || answer[11] != 0 || len(answer) != 19 {
		t.Fatalf("%v", answer)
	}
}

func TestNxdomainIgnoresWhatIsNoQuestion(t *testing.T) {
	for _, junk := range [][]byte{nil, {1}, make([]byte, 12), {7, 8, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 60, 'a'}} {
		if nxdomain(junk) != nil {
			t.Fatalf("answered %v", junk)
		}
	}
}

func TestRegistryTellsMissingFromForbidden(t *testing.T) {
	for path, want := range map[string]int{
		"/v2/": 200, "/v2/app/manifests/9": 404, "/v2/private/app/manifests/1": 401,
		"/v2/a/../../etc/manifests/1": 404,
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = path
		answer(w, r, t.TempDir())
		if w.Code != want {
			t.Errorf("%s: %d, want %d", path, w.Code, want)
		}
	}
}
