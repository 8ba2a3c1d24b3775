package fakes3

import (
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// conditionFails answers a request whose condition is not met. It is called with
// the lock held.
func (s *Server) conditionFails(w http.ResponseWriter, q *request, ignored bool) bool {
	if q.Header.Get("If-None-Match") != "*" || ignored {
		return false
	}
	if s.objects[q.key] == nil {
		return false
	}
	fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
	return true
}

func metadata(h http.Header) http.Header {
	m := http.Header{}
	for k, v := range h {
		if strings.HasPrefix(k, "X-Amz-Meta-") {
			m[k] = v
		}
	}
	return m
}

func (s *Server) put(w http.ResponseWriter, q *request) {
	if s.Quirks.RefusesCondition && q.Header.Get("If-None-Match") != "" {
		fail(w, http.StatusNotImplemented, "NotImplemented")
		return
	}
	if s.Quirks.RacesCondition {
		s.mu.Lock()
		lost := s.conditionFails(w, q, false)
		s.mu.Unlock()
		if lost {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conditionFails(w, q, s.Quirks.IgnoresCondition || s.Quirks.RacesCondition) {
		return
	}
	o := s.set(q.key, q.body, metadata(q.Header))
	w.Header().Set("ETag", o.etag)
	w.WriteHeader(http.StatusOK)
}

func (s *Server) get(w http.ResponseWriter, q *request) {
	s.mu.Lock()
	o := s.objects[q.key]
	s.mu.Unlock()
	if o == nil {
		fail(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	data, status := o.data, http.StatusOK
	if r := q.Header.Get("Range"); r != "" && !s.Quirks.ForgetsRanges {
		first, last, ok := strings.Cut(strings.TrimPrefix(r, "bytes="), "-")
		from, err := strconv.ParseInt(first, 10, 64)
		if !ok || err != nil {
			fail(w, http.StatusBadRequest, "InvalidArgument")
			return
		}
		to := int64(len(data)) - 1
		if n, err := strconv.ParseInt(last, 10, 64); err == nil {
			to = min(to, n)
		}
		if from >= int64(len(data)) {
			fail(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(data)))
		data, status = data[from:to+1], http.StatusPartialContent
	}
	maps.Copy(w.Header(), o.meta)
	w.Header().Set("ETag", o.etag)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	send(w, q, data)
}

// send sends a body, as far as the fault lets it.
func send(w http.ResponseWriter, q *request, data []byte) {
	n := max(q.fault.Cut, q.fault.Stall)
	if n == 0 || n >= len(data) {
		w.Write(data)
		return
	}
	w.Write(data[:n])
	if f, ok := w.(http.Flusher); ok {
		f.Flush()
	}
	if q.fault.Stall > 0 {
		<-q.Context().Done()
	}
	panic(http.ErrAbortHandler)
}

type listBody struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Name                  string
	EncodingType          string `xml:",omitempty"`
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listed
}

type listed struct {
	Key  string
	Size int
	ETag string
}

func (s *Server) list(w http.ResponseWriter, q *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := 1000
	if n, err := strconv.Atoi(q.query.Get("max-keys")); err == nil {
		limit = min(limit, n)
	}
	after := q.query.Get("start-after")
	token := q.query.Get("continuation-token")
	out := listBody{Name: Bucket, EncodingType: q.query.Get("encoding-type")}
	if s.Quirks.TokenOnly && token == "" {
		out.IsTruncated, out.NextContinuationToken = true, "token-"+after
		reply(w, http.StatusOK, out)
		return
	}
	keys := slices.Sorted(maps.Keys(s.objects))
	if s.Quirks.ListsFolders {
		slices.SortFunc(keys, func(a, b string) int {
			return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/"))
		})
	}
	for _, k := range keys {
		if k <= after || !strings.HasPrefix(k, q.query.Get("prefix")) {
			continue
		}
		if len(out.Contents) == limit {
			out.IsTruncated = true
			if !s.Quirks.ContinuesUncounted {
				out.NextContinuationToken = "not used"
			}
			break
		}
		name := k
		if out.EncodingType == "url" {
			name = strings.ReplaceAll(url.QueryEscape(k), "%2F", "/")
		}
		out.Contents = append(out.Contents, listed{Key: name, Size: len(s.objects[k].data), ETag: s.objects[k].etag})
	}
	if s.Quirks.ContinuesUncounted && len(out.Contents) == 0 {
		out.IsTruncated = true
	}
	reply(w, http.StatusOK, out)
}

type deleteBody struct {
	Object []struct{ Key string }
}

type deletedBody struct {
	XMLName xml.Name `xml:"DeleteResult"`
	Error   []kept
}

type kept struct{ Key, Code, Message string }

func (s *Server) delete(w http.ResponseWriter, q *request) {
	if !hasMD5(q) {
		fail(w, http.StatusBadRequest, "InvalidRequest") // as servers do that know no newer checksum
		return
	}
	var in deleteBody
	if err := xml.Unmarshal(q.body, &in); err != nil || len(in.Object) > 1000 {
		fail(w, http.StatusBadRequest, "MalformedXML")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var out deletedBody
	for _, o := range in.Object {
		if q.fault.Keep != "" && q.fault.Keys(o.Key) {
			out.Error = append(out.Error, kept{Key: o.Key, Code: q.fault.Keep, Message: "kept by the fake"})
			continue
		}
		if !s.Quirks.KeepsDeleted {
			delete(s.objects, o.Key)
		}
	}
	reply(w, http.StatusOK, out)
}
