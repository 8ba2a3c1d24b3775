// Package promobserver makes metrics for Prometheus of what package observe tells.
//
//	o, err := promobserver.New(registry)
//	hooks := observe.Hooks{Observer: o}
//	store, err := mailbox.Open(ctx, observeblob.Wrap(blobs, hooks), mailbox.Options{Observe: hooks})
//	err = o.Watch(store)
//
// All names begin with letterlock_. Labels are words of fixed lists, so the number
// of series does not grow with accounts, folders or mails, and no name of one can
// be among them. Every series that can occur is there from the beginning, at zero:
// a rate can be taken of the first failure, and an absent metric is a mistake.
package promobserver

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/letterlock/letterlock/mailbox/observe"
)

// Observer is an [observe.Observer] that counts.
type Observer struct {
	registry prometheus.Registerer

	requests     *prometheus.CounterVec
	requestTime  *prometheus.HistogramVec
	requestBytes *prometheus.CounterVec
	commits      *prometheus.CounterVec
	commitTime   prometheus.Histogram
	commitBytes  prometheus.Counter
	records      prometheus.Counter
	conflicts    prometheus.Counter
	replay       prometheus.Histogram
	replayTime   prometheus.Histogram
	snapshots    *prometheus.CounterVec
	snapshotSize prometheus.Histogram
	snapshotTime prometheus.Histogram
	pages        prometheus.Counter
	sessions     *prometheus.GaugeVec
	begun        *prometheus.CounterVec
	idle         prometheus.Gauge
	logins       *prometheus.CounterVec
	refused      *prometheus.CounterVec
	deliveries   *prometheus.CounterVec
	deliverTime  prometheus.Histogram
	deliverBytes prometheus.Counter
}

var _ observe.Observer = (*Observer)(nil)

// Seconds from half a millisecond to half a minute, and numbers to a million.
var (
	latencies = prometheus.ExponentialBuckets(0.0005, 2.5, 13)
	sizes     = prometheus.ExponentialBuckets(256, 4, 10)
	lengths   = prometheus.ExponentialBuckets(1, 4, 9)
)

// New returns an observer whose metrics are registered with r, or r's error if
// one is there already.
func New(r prometheus.Registerer) (*Observer, error) {
	o := &Observer{registry: r}
	add := registrar{r: r}
	o.storeMetrics(&add)
	o.logMetrics(&add)
	o.clientMetrics(&add)
	o.begin()
	return o, add.err
}

// registrar registers metrics and keeps the first error.
type registrar struct {
	r   prometheus.Registerer
	err error
}

func (a *registrar) keep(c prometheus.Collector) {
	if err := a.r.Register(c); err != nil && a.err == nil {
		a.err = err
	}
}

func (a *registrar) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "letterlock", Name: name, Help: help})
	a.keep(c)
	return c
}

func (a *registrar) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "letterlock", Name: name, Help: help}, labels)
	a.keep(c)
	return c
}

func (a *registrar) histogram(name, help string, buckets []float64) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "letterlock", Name: name, Help: help, Buckets: buckets})
	a.keep(h)
	return h
}

func (o *Observer) storeMetrics(a *registrar) {
	o.requests = a.counters("store_requests_total", "Calls on the object store.", "op", "kind", "result")
	o.requestBytes = a.counters("store_bytes_total", "Bytes created in and read from the object store.", "op", "kind")
	o.requestTime = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: "letterlock", Name: "store_request_seconds", Help: "How long calls on the object store took.", Buckets: latencies,
	}, []string{"op"})
	a.keep(o.requestTime)
}

func (o *Observer) logMetrics(a *registrar) {
	o.commits = a.counters("log_commits_total", "Entries appended to logs, and tries that failed.", "writer", "result")
	o.commitTime = a.histogram("log_commit_seconds", "How long it took to append an entry, conflicts included.", latencies)
	o.commitBytes = a.counter("log_commit_bytes_total", "Bytes of the entries appended.")
	o.records = a.counter("log_records_total", "Records in the entries appended: changes that share an entry.")
	o.conflicts = a.counter("log_conflicts_total", "Positions of logs lost to other processes.")
	o.replay = a.histogram("log_replay_entries", "Entries applied after the snapshot when a log was loaded.", lengths)
	o.replayTime = a.histogram("log_replay_seconds", "How long it took to load a log.", latencies)
	o.snapshots = a.counters("snapshots_total", "Snapshots written, and tries that failed.", "result")
	o.snapshotSize = a.histogram("snapshot_bytes", "Bytes of a snapshot's description of the state.", sizes)
	o.snapshotTime = a.histogram("snapshot_seconds", "How long it took to write a snapshot.", latencies)
	o.pages = a.counter("snapshot_objects_total", "Pages and metadata written for snapshots.")
}

func (o *Observer) clientMetrics(a *registrar) {
	o.sessions = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Namespace: "letterlock", Name: "sessions", Help: "Sessions of clients at this moment.",
	}, []string{"protocol"})
	a.keep(o.sessions)
	o.idle = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "letterlock", Name: "sessions_idle", Help: "IMAP sessions that wait in IDLE at this moment.",
	})
	a.keep(o.idle)
	o.begun = a.counters("sessions_total", "Sessions begun.", "protocol")
	o.logins = a.counters("logins_total", "Logins.", "result")
	o.refused = a.counters("refusals_total", "Connections and recipients that were not taken.", "protocol", "what")
	o.deliveries = a.counters("deliveries_total", "Messages delivered, one for each recipient.", "result")
	o.deliverTime = a.histogram("delivery_seconds", "How long it took to take a message in and make it durable.", latencies)
	o.deliverBytes = a.counter("delivery_bytes_total", "Bytes of the messages delivered.")
}

// Words of labels that are not those of package observe.
const (
	writerOwner     = "owner"
	writerDeliverer = "deliverer"

	connection         = "connection"
	recipientForGood   = "recipient"
	recipientForLonger = "recipient deferred"
)

// begin makes the series that can occur, at zero.
func (o *Observer) begin() {
	for _, op := range observe.Ops() {
		o.requestTime.WithLabelValues(op.String())
		for _, result := range []observe.Result{observe.OK, observe.Failed} {
			o.requests.WithLabelValues(op.String(), observe.KindBody.String(), result.String())
			o.requests.WithLabelValues(op.String(), observe.KindEntry.String(), result.String())
		}
	}
	for _, op := range []observe.Op{observe.Create, observe.Open} {
		o.requestBytes.WithLabelValues(op.String(), observe.KindBody.String())
		o.requestBytes.WithLabelValues(op.String(), observe.KindEntry.String())
	}
	for _, result := range []observe.Result{observe.OK, observe.Failed, observe.Unknown} {
		o.commits.WithLabelValues(writerOwner, result.String())
		o.commits.WithLabelValues(writerDeliverer, result.String())
	}
	for _, result := range []observe.Result{observe.OK, observe.Refused, observe.Failed} {
		o.logins.WithLabelValues(result.String())
		o.deliveries.WithLabelValues(result.String())
	}
	o.snapshots.WithLabelValues(observe.OK.String())
	o.snapshots.WithLabelValues(observe.Failed.String())
	for _, p := range []observe.Protocol{observe.IMAP, observe.LMTP} {
		o.sessions.WithLabelValues(p.String())
		o.begun.WithLabelValues(p.String())
	}
	o.refused.WithLabelValues(observe.IMAP.String(), connection)
	o.refused.WithLabelValues(observe.LMTP.String(), recipientForGood)
	o.refused.WithLabelValues(observe.LMTP.String(), recipientForLonger)
}

// Request counts a call on the object store.
func (o *Observer) Request(r observe.Request) {
	o.requests.WithLabelValues(r.Op.String(), r.Kind.String(), r.Result.String()).Inc()
	o.requestTime.WithLabelValues(r.Op.String()).Observe(r.Time.Seconds())
	if r.Bytes > 0 {
		o.requestBytes.WithLabelValues(r.Op.String(), r.Kind.String()).Add(float64(r.Bytes))
	}
}

// Commit counts an entry.
func (o *Observer) Commit(c observe.Commit) {
	writer := writerOwner
	if c.Delivered {
		writer = writerDeliverer
	}
	o.commits.WithLabelValues(writer, c.Result.String()).Inc()
	o.commitTime.Observe(c.Time.Seconds())
	o.commitBytes.Add(float64(c.Bytes))
	o.records.Add(float64(c.Records))
	o.conflicts.Add(float64(c.Conflicts))
}

// Replay counts a load.
func (o *Observer) Replay(r observe.Replay) {
	o.replay.Observe(float64(r.Entries))
	o.replayTime.Observe(r.Time.Seconds())
}

// Snapshot counts a snapshot.
func (o *Observer) Snapshot(s observe.Snapshot) {
	o.snapshots.WithLabelValues(s.Result.String()).Inc()
	o.snapshotTime.Observe(s.Time.Seconds())
	o.pages.Add(float64(s.Pages))
	if s.Result == observe.OK {
		o.snapshotSize.Observe(float64(s.Bytes))
	}
}

// Session follows a session.
func (o *Observer) Session(s observe.Session) {
	protocol := s.Protocol.String()
	switch s.Change {
	case observe.Begun:
		o.sessions.WithLabelValues(protocol).Inc()
		o.begun.WithLabelValues(protocol).Inc()
	case observe.Ended:
		o.sessions.WithLabelValues(protocol).Dec()
	case observe.IdleBegun:
		o.idle.Inc()
	case observe.IdleEnded:
		o.idle.Dec()
	case observe.LoggedIn:
		o.logins.WithLabelValues(observe.OK.String()).Inc()
	case observe.LoginRefused:
		o.logins.WithLabelValues(observe.Refused.String()).Inc()
	case observe.LoginFailed:
		o.logins.WithLabelValues(observe.Failed.String()).Inc()
	case observe.ConnRefused:
		o.refused.WithLabelValues(protocol, connection).Inc()
	case observe.RecipientRefused:
		o.refused.WithLabelValues(protocol, recipientForGood).Inc()
	case observe.RecipientFailed:
		o.refused.WithLabelValues(protocol, recipientForLonger).Inc()
	}
}

// Delivery counts a message for one recipient.
func (o *Observer) Delivery(d observe.Delivery) {
	o.deliveries.WithLabelValues(d.Result.String()).Inc()
	if d.Result == observe.OK {
		o.deliverTime.Observe(d.Time.Seconds())
		o.deliverBytes.Add(float64(d.Bytes))
	}
}
