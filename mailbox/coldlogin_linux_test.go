package mailbox

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/letterlock/letterlock/blob/memblob"
	"github.com/letterlock/letterlock/crypto"
)

// BenchmarkColdLogins has 16 accounts that nobody was logged in to log in at once,
// as after a restart. It reports how far resident memory rises, what remains of
// that after three seconds, CPU time each and when the last one was answered.
func BenchmarkColdLogins(b *testing.B) {
	const n = 16
	for name, params := range map[string]crypto.PasswordParams{
		"64MiB": crypto.DefaultPasswordParams(), "19MiB": crypto.LightPasswordParams(),
	} {
		b.Run(name, func(b *testing.B) {
			blobs := memblob.New()
			maker, err := Open(b.Context(), blobs, Options{Password: params, PollInterval: -1, NoCollect: true})
			require.NoError(b, err)
			for i := range n {
				require.NoError(b, maker.CreateAccount(b.Context(), fmt.Sprint("user", i), []byte("secret")))
			}
			require.NoError(b, maker.Close())
			var rise, kept, cpu, last float64
			for b.Loop() {
				s, err := Open(b.Context(), blobs, Options{
					Password: params, PollInterval: -1, NoCollect: true, Pool: crypto.NewPool(crypto.PoolOptions{ReturnMemory: true}),
				})
				require.NoError(b, err)
				debug.FreeOSMemory()
				require.NoError(b, os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)) // VmHWM starts anew
				before, used, start := resident(b, "VmRSS"), cpuTime(b), time.Now()
				accounts := make([]*Account, n)
				var wg sync.WaitGroup
				for i := range accounts {
					wg.Go(func() { accounts[i], _ = s.Login(b.Context(), fmt.Sprint("user", i), []byte("secret")) })
				}
				wg.Wait()
				last += time.Since(start).Seconds()
				cpu += (cpuTime(b) - used).Seconds()
				rise += resident(b, "VmHWM") - before
				time.Sleep(3 * time.Second)
				kept += resident(b, "VmRSS") - before
				for _, a := range accounts {
					require.NotNil(b, a)
					require.NoError(b, a.Close())
				}
				require.NoError(b, s.Close())
				runtime.GC()
			}
			per := float64(b.N)
			b.ReportMetric(rise/per, "MiB-rise")
			b.ReportMetric(kept/per, "MiB-kept")
			b.ReportMetric(1000*cpu/per/n, "ms-cpu/login")
			b.ReportMetric(1000*last/per, "ms-last")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// resident returns a field of /proc/self/status, in MiB.
func resident(b *testing.B, field string) float64 {
	status, err := os.ReadFile("/proc/self/status")
	require.NoError(b, err)
	_, rest, found := bytes.Cut(status, []byte(field+":"))
	require.True(b, found)
	kib, err := strconv.Atoi(string(bytes.Fields(rest)[0]))
	require.NoError(b, err)
	return float64(kib) / 1024
}

func cpuTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
