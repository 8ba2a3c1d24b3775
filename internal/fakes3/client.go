package fakes3

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// errBroken is what the client's side of a broken connection says.
var errBroken = errors.New("fakes3: the connection broke")

// Credentials are those that the server takes.
func Credentials(context.Context) (aws.Credentials, error) {
	return aws.Credentials{AccessKeyID: AccessKey, SecretAccessKey: "fake-secret"}, nil
}

// Client returns a client of s that uses no sockets. Each one is as separate from
// the others as those of two processes.
func (s *Server) Client() *s3.Client {
	return s3.New(s3.Options{
		BaseEndpoint: aws.String("http://fake.test"),
		Region:       "us-east-1",
		UsePathStyle: true,
		Credentials:  aws.CredentialsProviderFunc(Credentials),
		HTTPClient:   s,
	})
}

// Do implements s3.HTTPClient.
func (s *Server) Do(req *http.Request) (*http.Response, error) {
	s.under(1)
	resp, err := s.do(req)
	if err != nil {
		s.under(-1)
		return nil, err
	}
	resp.Body = &countedBody{ReadCloser: resp.Body, s: s}
	return resp, nil
}

// countedBody ends a request when it is closed.
type countedBody struct {
	io.ReadCloser
	s    *Server
	once sync.Once
}

func (b *countedBody) Close() error {
	b.once.Do(func() { b.s.under(-1) })
	return b.ReadCloser.Close()
}

func (s *Server) do(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	served := req.Clone(ctx)
	if served.Body == nil {
		served.Body = http.NoBody
	}
	pr, pw := io.Pipe()
	w := &pipeWriter{header: http.Header{}, pw: pw, ready: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { pw.CloseWithError(ctx.Err()) })
	go func() {
		defer stop()
		defer func() {
			switch v := recover(); v {
			case nil:
				w.WriteHeader(http.StatusOK)
				pw.Close()
			case http.ErrAbortHandler:
				w.broken = w.status == 0
				w.once.Do(func() { close(w.ready) })
				pw.CloseWithError(errBroken)
			default:
				panic(v)
			}
			served.Body.Close()
		}()
		s.ServeHTTP(w, served)
	}()
	select {
	case <-w.ready:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if w.broken {
		return nil, errBroken
	}
	length := int64(-1)
	if n, err := strconv.ParseInt(w.sent.Get("Content-Length"), 10, 64); err == nil {
		length = n
	}
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.sent, Body: pr, ContentLength: length, Request: req,
	}, nil
}

// pipeWriter is the server's end of an answer.
type pipeWriter struct {
	header, sent http.Header
	status       int
	broken       bool // before there was an answer
	once         sync.Once
	ready        chan struct{} // closed when the fields above are final
	pw           *io.PipeWriter
}

func (w *pipeWriter) Header() http.Header { return w.header }

func (w *pipeWriter) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	w.status, w.sent = status, w.header.Clone() // the SDK writes into the values
	w.once.Do(func() { close(w.ready) })
}

func (w *pipeWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.pw.Write(p)
}
