package fakes3

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"strconv"
)

const minPart = 5 << 20 // bytes of every part but the last

type beginBody struct {
	XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
	UploadId string
}

func (s *Server) begin(w http.ResponseWriter, q *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	id := fmt.Sprintf("upload-%d", s.made)
	s.uploads[id] = &upload{key: q.key, parts: map[int][]byte{}, meta: metadata(q.Header)}
	reply(w, http.StatusOK, beginBody{UploadId: id})
}

// upload returns the upload that a request is about, or answers that there is
// none. It is called with the lock held.
func (s *Server) upload(w http.ResponseWriter, q *request) *upload {
	u := s.uploads[q.query.Get("uploadId")]
	if u == nil || u.key != q.key {
		fail(w, http.StatusNotFound, "NoSuchUpload")
		return nil
	}
	return u
}

func (s *Server) part(w http.ResponseWriter, q *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.upload(w, q)
	if u == nil {
		return
	}
	n, err := strconv.Atoi(q.query.Get("partNumber"))
	if err != nil || n < 1 || n > 10_000 {
		fail(w, http.StatusBadRequest, "InvalidArgument")
		return
	}
	u.parts[n] = q.body
	w.Header().Set("ETag", fmt.Sprintf(`"part-%d"`, n))
	w.WriteHeader(http.StatusOK)
}

type completeBody struct {
	Part []struct {
		PartNumber int
		ETag       string
	}
}

type completedBody struct {
	XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
	ETag    string
}

func (s *Server) complete(w http.ResponseWriter, q *request) {
	var in completeBody
	if err := xml.Unmarshal(q.body, &in); err != nil {
		fail(w, http.StatusBadRequest, "MalformedXML")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.upload(w, q)
	if u == nil || s.conditionFails(w, q, s.Quirks.IgnoresOnComplete) {
		return
	}
	var data []byte
	for i, p := range in.Part {
		part, ok := u.parts[p.PartNumber]
		if !ok || p.ETag != fmt.Sprintf(`"part-%d"`, p.PartNumber) {
			fail(w, http.StatusBadRequest, "InvalidPart")
			return
		}
		if i < len(in.Part)-1 && len(part) < minPart {
			fail(w, http.StatusBadRequest, "EntityTooSmall")
			return
		}
		data = append(data, part...)
	}
	delete(s.uploads, q.query.Get("uploadId"))
	o := s.set(q.key, data, u.meta)
	reply(w, http.StatusOK, completedBody{ETag: o.etag})
}

func (s *Server) abort(w http.ResponseWriter, q *request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.upload(w, q) == nil {
		return
	}
	delete(s.uploads, q.query.Get("uploadId"))
	w.WriteHeader(http.StatusNoContent)
}
