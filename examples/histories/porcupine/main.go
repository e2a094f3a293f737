// Checks a list-append history with Porcupine, which tries orders instead of looking for cycles.
//
//	go run . history.porcupine.jsonl
//
// Exit code: 0 strictly serializable, 1 not, 2 no verdict.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

const patience = 5 * time.Minute

// line is one line of the file: a call or a return.
type line struct {
	ID     int    `json:"id"`
	Client int    `json:"client"`
	Kind   string `json:"kind"`
	Time   int64  `json:"time"`
	Result string `json:"result"`
	Ops    []op   `json:"ops"`
}

// op is ["append", key, element], ["r", key] or ["r", key, [element …]]. Keys and elements are compared as they are written.
type op struct {
	append bool
	key    string
	value  string
	list   []string
}

func (o *op) UnmarshalJSON(data []byte) error {
	var parts []json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return err
	}
	if len(parts) < 2 {
		return fmt.Errorf("an operation has a name and a key, but this is %s", data)
	}
	o.append, o.key = string(parts[0]) == `"append"`, string(parts[1])
	if len(parts) < 3 {
		return nil
	}
	if o.append {
		o.value = string(parts[2])
		return nil
	}
	var items []json.RawMessage
	if err := json.Unmarshal(parts[2], &items); err != nil {
		return err
	}
	o.list = []string{}
	for _, item := range items {
		o.list = append(o.list, string(item))
	}
	return nil
}

// A state holds the lists of all keys; steps make new ones and never change one.
type state map[string]string

// step runs a transaction: ok when it reads what it read. What ended unknown has nothing to compare.
func step(current, input, output interface{}) (bool, interface{}) {
	next := state{}
	for key, list := range current.(state) {
		next[key] = list
	}
	ops, known := output.([]op)
	if !known {
		ops = input.([]op)
	}
	for _, o := range ops {
		if o.append {
			next[o.key] += " " + o.value
		} else if known && next[o.key] != joined(o.list) {
			return false, nil
		}
	}
	return true, next
}

func joined(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return " " + strings.Join(list, " ")
}

func equal(a, b interface{}) bool {
	one, other := a.(state), b.(state)
	if len(one) != len(other) {
		return false
	}
	for key, list := range one {
		if other[key] != list {
			return false
		}
	}
	return true
}

// partition splits a history into parts that share no key. Strict serializability of all is that of each (Herlihy and Wing 1990).
func partition(history []porcupine.Event) [][]porcupine.Event {
	parent := map[string]string{}
	var root func(key string) string
	root = func(key string) string {
		if up, found := parent[key]; found && up != key {
			parent[key] = root(up)
			return parent[key]
		}
		return key
	}
	first := map[int]string{}
	for _, event := range history {
		if event.Kind == porcupine.CallEvent {
			ops := event.Value.([]op)
			first[event.Id] = ops[0].key
			for _, o := range ops {
				parent[root(o.key)] = root(ops[0].key)
			}
		}
	}
	at := map[string]int{}
	var parts [][]porcupine.Event
	for _, event := range history {
		part := root(first[event.Id])
		if _, found := at[part]; !found {
			at[part] = len(parts)
			parts = append(parts, nil)
		}
		parts[at[part]] = append(parts[at[part]], event)
	}
	return parts
}

// events makes Porcupine's events of the file's lines. An unknown end is decided by what others read, which loses nothing:
// elements that nobody read may as well never have been appended, so that transaction is left out; and where somebody read
// them, the transaction had happened before that reader returned, so it returns there.
func events(lines []line) []porcupine.Event {
	seenAt := map[string]int{}
	for at, l := range lines {
		for _, o := range l.Ops {
			for _, item := range o.list {
				if _, found := seenAt[o.key+" "+item]; l.Kind == "return" && !found {
					seenAt[o.key+" "+item] = at
				}
			}
		}
	}
	unknown := map[int]bool{}
	for _, l := range lines {
		unknown[l.ID] = unknown[l.ID] || l.Result == "unknown"
	}
	returns := map[int][]line{}
	happened := map[int]bool{}
	for _, l := range lines {
		if l.Kind != "call" || !unknown[l.ID] {
			continue
		}
		earliest := -1
		for _, o := range l.Ops {
			if at, found := seenAt[o.key+" "+o.value]; found && o.append && (earliest < 0 || at < earliest) {
				earliest = at
			}
		}
		if earliest >= 0 {
			happened[l.ID] = true
			returns[earliest] = append(returns[earliest], l)
		}
	}
	var result []porcupine.Event
	for at, l := range lines {
		for _, early := range returns[at] {
			result = append(result, porcupine.Event{ClientId: early.Client, Kind: porcupine.ReturnEvent, Id: early.ID})
		}
		if unknown[l.ID] && (l.Kind == "return" || !happened[l.ID]) {
			continue
		}
		result = append(result, porcupine.Event{ClientId: l.Client, Kind: porcupine.EventKind(l.Kind == "return"), Value: l.Ops, Id: l.ID})
	}
	return result
}

func read(path string) ([]line, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var lines []line
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 16<<20)
	for scanner.Scan() {
		var l line
		if err := json.Unmarshal(scanner.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("line %d: %w", len(lines)+1, err)
		}
		lines = append(lines, l)
	}
	return lines, scanner.Err()
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: go run . history.porcupine.jsonl")
		os.Exit(2)
	}
	lines, err := read(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	history := events(lines)
	model := porcupine.Model{
		PartitionEvent: partition,
		Init:           func() interface{} { return state{} },
		Step:           step,
		Equal:          equal,
	}
	result := porcupine.CheckEventsTimeout(model, history, patience)
	fmt.Printf("%d transactions in %d independent parts: %s\n", len(history)/2, len(partition(history)), result)
	switch result {
	case porcupine.Ok:
	case porcupine.Illegal:
		os.Exit(1)
	default:
		os.Exit(2)
	}
}
