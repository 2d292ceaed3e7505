package main

import "testing"

func TestParse(t *testing.T) {
	for text, words := range map[string]string{
		"channels: [orders]":              "",
		"database: shop\nchannels: [a,b]": "",
		"":                                "channels: missing; name at least one channel to LISTEN on",
		"channels: []":                    "channels: missing; name at least one channel to LISTEN on",
	} {
		if _, err := parse([]byte(text)); (err == nil) != (words == "") || err != nil && err.Error() != words {
			t.Errorf("%q: %v, not %q", text, err, words)
		}
	}
	if _, err := parse([]byte("chanels: [a]")); err == nil {
		t.Error("an unknown field was taken")
	}
}
