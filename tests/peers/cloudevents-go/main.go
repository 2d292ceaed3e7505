// A watcher made of the official Go SDK: says what the SDK understood of each request, one line of JSON an event.
//
// The first line of the output is the port. Each further one is an event: the path it came to, its mode, its attributes by
// their names (extensions with the type the SDK gave them), its data in base64, and how many events came together. A request
// that the SDK does not take, or whose event it finds invalid, is answered 400 and shown as {"refused": why}.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	"github.com/cloudevents/sdk-go/v2/types"
)

type received struct {
	Path       string         `json:"path"`
	Mode       string         `json:"mode"`
	Attributes map[string]any `json:"attributes"`
	Data       []byte         `json:"data"`
	Together   int            `json:"together"`
}

type refused struct {
	Path    string `json:"path"`
	Refused string `json:"refused"`
}

var (
	output sync.Mutex
	writer = json.NewEncoder(os.Stdout)
)

func say(line any) {
	output.Lock()
	defer output.Unlock()
	if err := writer.Encode(line); err != nil {
		log.Fatal(err)
	}
}

func attributes(e event.Event) (map[string]any, error) {
	all := map[string]any{"specversion": e.SpecVersion(), "id": e.ID(), "source": e.Source(), "type": e.Type()}
	optional := map[string]string{"subject": e.Subject(), "datacontenttype": e.DataContentType(), "dataschema": e.DataSchema()}
	for name, value := range optional {
		if value != "" {
			all[name] = value
		}
	}
	if !e.Time().IsZero() {
		all["time"] = e.Time().Format(time.RFC3339Nano)
	}
	for name, value := range e.Extensions() {
		switch value := value.(type) {
		case string, bool, int32:
			all[name] = value
		default:
			text, err := types.Format(value)
			if err != nil {
				return nil, err
			}
			all[name] = text
		}
	}
	return all, nil
}

func decode(request *http.Request) ([]event.Event, string, error) {
	message := cehttp.NewMessageFromHttpRequest(request)
	defer message.Finish(nil)
	encoding := message.ReadEncoding()
	if encoding == binding.EncodingBatch {
		events, err := binding.ToEvents(request.Context(), message, message.BodyReader)
		return events, encoding.String(), err
	}
	if encoding == binding.EncodingUnknown {
		return nil, encoding.String(), fmt.Errorf("no CloudEvent")
	}
	single, err := binding.ToEvent(request.Context(), message)
	if err != nil {
		return nil, encoding.String(), err
	}
	return []event.Event{*single}, encoding.String(), nil
}

func read(request *http.Request) ([]received, error) {
	events, mode, err := decode(request)
	if err != nil {
		return nil, err
	}
	lines := make([]received, 0, len(events))
	for _, e := range events {
		if err := e.Validate(); err != nil {
			return nil, err
		}
		all, err := attributes(e)
		if err != nil {
			return nil, err
		}
		lines = append(lines, received{request.URL.Path, mode, all, e.Data(), len(events)})
	}
	return lines, nil
}

func take(answer http.ResponseWriter, request *http.Request) {
	lines, err := read(request)
	if err != nil {
		say(refused{request.URL.Path, err.Error()})
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	for _, line := range lines {
		say(line)
	}
	answer.WriteHeader(http.StatusNoContent)
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	say(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(http.Serve(listener, http.HandlerFunc(take)))
}
