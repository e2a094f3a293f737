// Loads an etcd cluster with durable puts, the way bench/decisions loads concordat: so many callers in one process, each
// waiting for its answer before the next. Prints one line of JSON for each number of callers.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

type result struct {
	Callers   int     `json:"callers"`
	PerSecond float64 `json:"perSecond"`
	P50Ms     float64 `json:"p50Ms"`
	P99Ms     float64 `json:"p99Ms"`
}

func main() {
	endpoint := flag.String("endpoint", "", "host:port of the leader")
	callers := flag.String("callers", "1,16,64,256", "numbers of callers")
	seconds := flag.Float64("seconds", 5, "how long each number runs")
	size := flag.Int("bytes", 256, "bytes of a value")
	flag.Parse()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{*endpoint}, DialTimeout: 5 * time.Second})
	if err != nil {
		fail(err)
	}
	defer client.Close()
	value := strings.Repeat("x", *size)
	for _, text := range strings.Split(*callers, ",") {
		count, err := strconv.Atoi(text)
		if err != nil {
			fail(err)
		}
		run(client, count, value, time.Second) // warm-up
		line, _ := json.Marshal(run(client, count, value, time.Duration(*seconds*float64(time.Second))))
		fmt.Println(string(line))
	}
}

func run(client *clientv3.Client, callers int, value string, length time.Duration) result {
	var group sync.WaitGroup
	latencies := make([][]float64, callers)
	started := time.Now()
	for caller := range latencies {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := 0; time.Since(started) < length; n++ {
				begun := time.Now()
				key := fmt.Sprintf("bench/%d/%d", caller, n)
				if _, err := client.Put(context.Background(), key, value); err != nil {
					fail(err)
				}
				latencies[caller] = append(latencies[caller], float64(time.Since(begun).Microseconds())/1000)
			}
		}()
	}
	group.Wait()
	elapsed := time.Since(started).Seconds()
	var all []float64
	for _, some := range latencies {
		all = append(all, some...)
	}
	sort.Float64s(all)
	return result{callers, float64(len(all)) / elapsed, all[len(all)/2], all[len(all)*99/100]}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
