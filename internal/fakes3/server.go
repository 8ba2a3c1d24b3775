// Package fakes3 is an S3 server in memory, for tests: as much of S3 as package
// s3blob uses, kept to the letter, and every fault and every oddity of other
// servers that s3blob has to live with.
//
// A [Server] is an http.Handler for httptest, and an HTTP client that needs no
// sockets, so that tests can run it in a bubble of testing/synctest. Signatures
// are not verified, but the hash of the body in them is.
package fakes3

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bucket is the only one, and AccessKey the only key.
const (
	Bucket    = "mail"
	AccessKey = "fake-key"
)

// Op is a request as S3 calls it.
type Op string

// The requests.
const (
	Put      Op = "PutObject"
	Get      Op = "GetObject"
	List     Op = "ListObjectsV2"
	Delete   Op = "DeleteObjects"
	Begin    Op = "CreateMultipartUpload"
	Part     Op = "UploadPart"
	Complete Op = "CompleteMultipartUpload"
	Abort    Op = "AbortMultipartUpload"
)

// Quirks are what a server does otherwise than S3, always.
type Quirks struct {
	IgnoresCondition   bool          // If-None-Match on PutObject has no effect
	RefusesCondition   bool          // and is answered with 501
	RacesCondition     bool          // is looked at first, and the object put later
	IgnoresOnComplete  bool          // If-None-Match on CompleteMultipartUpload has no effect
	ForgetsMetadata    bool          // of objects
	ForgetsRanges      bool          // and answers with the whole object
	ListsFolders       bool          // in the order of a walk through folders
	CachesAnswers      bool          // as a proxy does: the first answer to a GET is the answer
	KeepsDeleted       bool          // says that it deletes and does not
	Clock              time.Duration // ahead of ours
	TokenOnly          bool          // the first page of a listing is empty, and has a token
	ContinuesUncounted bool          // says that there is more, and not where
}

// Fault is what becomes of one request. The zero value is none.
type Fault struct {
	Status int    // is the answer, with Code, and nothing happens
	Code   string // of S3
	Page   bool   // a web page is the answer, with Status, and nothing happens
	Refuse bool   // the connection breaks, and nothing happens
	Hang   bool   // nothing happens until the client goes away
	Lose   bool   // it happens, and the connection breaks before the answer
	Also   bool   // it happens, and Status is the answer nevertheless
	Cut    int    // that many bytes of the answer's body arrive, then the connection breaks
	Stall  int    // that many bytes of the answer's body arrive, then nothing until the client goes away
	Short  int    // the answer's body lacks that many bytes at its end, and its length says nothing of them
	Flip   int    // the lowest bit of that byte of the answer's body is flipped, counted from 1
	Keep   string // the code for which a DeleteObjects keeps each key that Keys allows
	Keys   func(key string) bool
}

// Plan decides on the fault of the n-th request of an op, counted from 1.
type Plan func(op Op, key string, n int) Fault

// Server is the server. It is safe for concurrent use.
type Server struct {
	Quirks Quirks // not changed while requests are served

	mu      sync.Mutex // guards what follows
	objects map[string]*object
	uploads map[string]*upload
	cache   map[string]*recorded
	plan    Plan
	calls   map[Op]int
	made    int
	active  int
	peak    int
}

type object struct {
	data []byte
	etag string
	meta http.Header
}

type upload struct {
	key   string
	parts map[int][]byte
	meta  http.Header
}

// New returns an empty server.
func New() *Server {
	return &Server{objects: map[string]*object{}, uploads: map[string]*upload{}, cache: map[string]*recorded{}, calls: map[Op]int{}}
}

// SetPlan replaces the plan and starts to count anew.
func (s *Server) SetPlan(p Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan, s.calls, s.peak = p, map[Op]int{}, s.active
}

// Calls returns how many requests of op there were since the plan was set.
func (s *Server) Calls(op Op) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[op]
}

// Requests returns how many requests there were since the plan was set.
func (s *Server) Requests() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, c := range s.calls {
		n += c
	}
	return n
}

// Peak returns how many requests of clients without sockets were under way at once
// since the plan was set. A request is under way until its answer's body is closed.
func (s *Server) Peak() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.peak
}

// Keys returns the keys of all objects, in order.
func (s *Server) Keys() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.objects))
}

// Uploads returns how many multipart uploads are unfinished.
func (s *Server) Uploads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.uploads)
}

// Set puts an object behind everybody's back.
func (s *Server) Set(key string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.set(key, data, nil)
}

// Damage changes the bytes of an object behind everybody's back, and nothing else
// of it.
func (s *Server) Damage(key string, change func(data []byte) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := *s.objects[key]
	o.data = change(slices.Clone(o.data))
	s.objects[key] = &o
}

// Remove removes an object behind everybody's back.
func (s *Server) Remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.objects, key)
}

func (s *Server) set(key string, data []byte, meta http.Header) *object {
	s.made++
	sum := md5.Sum(fmt.Appendf(nil, "%d %s", s.made, data))
	o := &object{data: data, etag: `"` + hex.EncodeToString(sum[:]) + `"`, meta: meta}
	if s.Quirks.ForgetsMetadata {
		o.meta = nil
	}
	s.objects[key] = o
	return o
}

// request is one request as the server understands it.
type request struct {
	*http.Request
	op    Op
	key   string
	query url.Values
	body  []byte
	fault Fault
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := &request{Request: r, query: r.URL.Query()}
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q.key = key
	q.op = operation(r.Method, key, q.query)
	s.enter(q)
	f := q.fault
	switch {
	case f.Refuse:
		panic(http.ErrAbortHandler)
	case f.Hang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case f.Page:
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(f.Status)
		io.WriteString(w, "<!DOCTYPE html><html><body>Welcome!<br></body></html>")
		return
	case f.Short != 0 || f.Flip != 0:
		answer := &recorded{header: http.Header{}}
		s.answer(answer, q, bucket)
		answer.damage(f)
		answer.replay(w)
		return
	}
	s.answer(w, q, bucket)
}

// answer does what a request asks for, but for what its fault says.
func (s *Server) answer(w http.ResponseWriter, q *request, bucket string) {
	f := q.fault
	if f.Status != 0 && !f.Also {
		fail(w, f.Status, f.Code)
		return
	}
	if !s.admit(w, q, bucket) {
		return
	}
	if f.Lose || f.Also {
		s.serve(&recorded{header: http.Header{}}, q)
		if f.Lose {
			panic(http.ErrAbortHandler)
		}
		fail(w, f.Status, f.Code)
		return
	}
	s.serve(w, q)
}

// operation names a request.
func operation(method, key string, q url.Values) Op {
	switch {
	case method == http.MethodGet && key == "":
		return List
	case method == http.MethodGet:
		return Get
	case method == http.MethodPost && q.Has("delete"):
		return Delete
	case method == http.MethodPost && q.Has("uploads"):
		return Begin
	case method == http.MethodPost:
		return Complete
	case method == http.MethodPut && q.Has("partNumber"):
		return Part
	case method == http.MethodPut:
		return Put
	case method == http.MethodDelete && q.Has("uploadId"):
		return Abort
	}
	return Op(method)
}

func (s *Server) enter(q *request) {
	s.mu.Lock()
	s.calls[q.op]++
	n, plan := s.calls[q.op], s.plan
	s.mu.Unlock()
	if plan != nil {
		q.fault = plan(q.op, q.key, n)
	}
}

// under counts the requests under way.
func (s *Server) under(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.active += n
	s.peak = max(s.peak, s.active)
}

// admit checks what S3 checks first, and reads the body.
func (s *Server) admit(w http.ResponseWriter, q *request, bucket string) bool {
	sent, err := time.Parse("20060102T150405Z", q.Header.Get("X-Amz-Date"))
	now := time.Now().Add(s.Quirks.Clock)
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	if d := now.Sub(sent); err != nil || d.Abs() > 15*time.Minute {
		fail(w, http.StatusForbidden, "RequestTimeTooSkewed")
		return false
	}
	if !strings.Contains(q.Header.Get("Authorization"), "Credential="+AccessKey+"/") {
		fail(w, http.StatusForbidden, "InvalidAccessKeyId")
		return false
	}
	for h := range q.Header {
		if strings.HasPrefix(h, "X-Amz-Checksum-") || h == "X-Amz-Sdk-Checksum-Algorithm" || h == "X-Amz-Trailer" {
			fail(w, http.StatusBadRequest, "InvalidRequest") // as servers do that are a few years old
			return false
		}
	}
	if bucket != Bucket {
		fail(w, http.StatusNotFound, "NoSuchBucket")
		return false
	}
	if strings.Contains(q.key, "//") || strings.Contains(q.key, "..") && strings.Contains("/"+q.key+"/", "/../") {
		fail(w, http.StatusBadRequest, "XMinioInvalidObjectName")
		return false
	}
	if q.body, err = io.ReadAll(q.Body); err != nil {
		panic(http.ErrAbortHandler)
	}
	sum := sha256.Sum256(q.body)
	want := q.Header.Get("X-Amz-Content-Sha256")
	unsigned := want == "UNSIGNED-PAYLOAD" && q.TLS != nil // the SDK leaves the hash out over TLS
	if !unsigned && want != hex.EncodeToString(sum[:]) {
		fail(w, http.StatusBadRequest, "XAmzContentSHA256Mismatch")
		return false
	}
	return true
}

func (s *Server) serve(w http.ResponseWriter, q *request) {
	switch q.op {
	case Put:
		s.put(w, q)
	case Get:
		s.cached(w, q, s.get)
	case List:
		s.cached(w, q, s.list)
	case Delete:
		s.delete(w, q)
	case Begin:
		s.begin(w, q)
	case Part:
		s.part(w, q)
	case Complete:
		s.complete(w, q)
	case Abort:
		s.abort(w, q)
	default:
		fail(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
}

// cached answers as a proxy would that caches.
func (s *Server) cached(w http.ResponseWriter, q *request, get func(http.ResponseWriter, *request)) {
	if !s.Quirks.CachesAnswers {
		get(w, q)
		return
	}
	k := q.URL.String() + " " + q.Header.Get("Range")
	s.mu.Lock()
	r := s.cache[k]
	s.mu.Unlock()
	if r == nil {
		r = &recorded{header: http.Header{}}
		get(r, q)
		s.mu.Lock()
		s.cache[k] = r
		s.mu.Unlock()
	}
	r.replay(w)
}

// recorded keeps an answer.
type recorded struct {
	header http.Header
	status int
	body   []byte
}

func (r *recorded) Header() http.Header { return r.header }
func (r *recorded) WriteHeader(n int)   { r.status = n }
func (r *recorded) Write(p []byte) (int, error) {
	r.body = append(r.body, p...)
	return len(p), nil
}

// damage changes the answer as a bad wire would.
func (r *recorded) damage(f Fault) {
	r.body = slices.Clone(r.body[:max(0, len(r.body)-f.Short)])
	if f.Flip > 0 && f.Flip <= len(r.body) {
		r.body[f.Flip-1] ^= 1
	}
	r.header.Set("Content-Length", strconv.Itoa(len(r.body)))
}

func (r *recorded) replay(w http.ResponseWriter) {
	maps.Copy(w.Header(), r.header)
	w.WriteHeader(max(r.status, http.StatusOK))
	w.Write(r.body)
}

// errorBody is what S3 says when it refuses.
type errorBody struct {
	XMLName xml.Name `xml:"Error"`
	Code    string
	Message string
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("X-Amz-Request-Id", "fake-request")
	reply(w, status, errorBody{Code: code, Message: "the fake says " + code})
}

func reply(w http.ResponseWriter, status int, v any) {
	b, err := xml.Marshal(v)
	if err != nil {
		panic(err) // the types are below
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	w.Write(b)
}

func hasMD5(q *request) bool {
	sum := md5.Sum(q.body)
	return q.Header.Get("Content-Md5") == base64.StdEncoding.EncodeToString(sum[:])
}
