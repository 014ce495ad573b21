package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// resolver answers every question with NXDOMAIN at once. Without it a pull from
// an unknown host waits ten seconds for a name server that is not there.
func resolver(args []string) {
	f := flag.NewFlagSet("resolver", flag.ContinueOnError)
	address := f.String("addr", ":53", "UDP address to listen on")
	parse(f, args)
	socket, err := net.ListenPacket("udp", *address)
	if err != nil {
		fail(err)
	}
	buffer := make([]byte, 1500)
	for {
		n, peer, err := socket.ReadFrom(buffer)
		if err != nil {
			fail(err)
		}
		if answer := nxdomain(buffer[:n]); answer != nil {
			_, _ = socket.WriteTo(answer, peer)
		}
	}
}

// nxdomain turns a DNS query of one question into its answer; nil if it is none.
func nxdomain(query []byte) []byte {
	const header = 12
	if len(query) < header || query[2]&0x80 != 0 || query[4] != 0 || query[5] != 1 {
		return nil
	}
	end := header
	for end < len(query) && query[end] != 0 {
		end += int(query[end]) + 1
	}
	end += 5 // the root label, the type, the class
	if end > len(query) {
		return nil
	}
	answer := append([]byte(nil), query[:end]...)
	answer[2] = 0x84 | query[2]&0x01        // an authoritative answer
	answer[3] = 0x80 | 3                    // recursion available, NXDOMAIN
	copy(answer[6:header], make([]byte, 6)) // no records
	return answer
}

// request is a path of the distribution protocol: repository, kind, reference.
var request = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs)/([A-Za-z0-9_.:-]+)$`)

// registry speaks as much of the distribution protocol as a pull needs. It
// serves OCI layouts: root/REPOSITORY:TAG is a folder with index.json and blobs.
func registry(args []string) {
	f := flag.NewFlagSet("registry", flag.ContinueOnError)
	address := f.String("addr", ":5000", "address to listen on")
	root := f.String("root", "", "folder of OCI layouts")
	parse(f, args)
	fail(http.ListenAndServe(*address, http.HandlerFunc(
		func(w http.ResponseWriter, r *http.Request) { answer(w, r, *root) })))
}

// answer serves one request of a pull.
func answer(w http.ResponseWriter, r *http.Request, root string) {
	if r.URL.Path == "/v2/" || r.URL.Path == "/v2" {
		fmt.Fprintln(w, "{}")
		return
	}
	part := request.FindStringSubmatch(r.URL.Path)
	if part == nil || strings.Contains(part[1], "..") {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN")
		return
	}
	if strings.HasPrefix(part[1], "private/") {
		w.Header().Set("WWW-Authenticate", `Basic realm="lab"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED")
		return
	}
	digest, layouts := part[3], filepath.Join(root, part[1]+":*")
	if !strings.HasPrefix(digest, "sha256:") {
		layouts = filepath.Join(root, part[1]+":"+digest)
		digest = manifestOf(layouts)
	}
	hash := strings.TrimPrefix(digest, "sha256:")
	files, _ := filepath.Glob(filepath.Join(layouts, "blobs", "sha256", hash))
	if hash == "" || len(files) == 0 {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN")
		return
	}
	w.Header().Set("Docker-Content-Digest", digest)
	w.Header().Set("Content-Type", "application/octet-stream")
	if part[2] == "manifests" {
		w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
	}
	http.ServeFile(w, r, files[0])
}

// manifestOf reads the digest of a layout's only manifest; empty if there is none.
func manifestOf(layout string) string {
	text, err := os.ReadFile(filepath.Join(layout, "index.json"))
	if err != nil {
		return ""
	}
	var index struct{ Manifests []struct{ Digest string } }
	if json.Unmarshal(text, &index) != nil || len(index.Manifests) != 1 {
		return ""
	}
	return index.Manifests[0].Digest
}

// refuse writes an error in the protocol's form.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"errors":[{"code":%q,"message":"the lab's registry has no such thing"}]}`+"\n", code)
}
