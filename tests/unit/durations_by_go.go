//go:build ignore

// Prints durations_by_go.inc: odd durations, and what Go's time package makes of them.
//
//	go run tests/unit/durations_by_go.go >tests/unit/durations_by_go.inc
package main

import (
	"fmt"
	"math/rand"
	"strings"
	"time"
)

func oddNumber(random *rand.Rand) string {
	var number string
	switch random.Intn(6) {
	case 0:
		number = fmt.Sprint(random.Int63() >> uint(random.Intn(63)))
	case 1:
		number = fmt.Sprint(random.Uint64() >> uint(random.Intn(8)))
	default:
		number = fmt.Sprint(random.Intn(5000))
	}
	if random.Intn(2) == 0 {
		number += "."
		for digits := random.Intn(24); digits > 0; digits-- {
			number += fmt.Sprint(random.Intn(10))
		}
	}
	return number
}

func oddDuration(random *rand.Rand) string {
	units := []string{"ns", "us", "\\xC2\\xB5s", "\\xCE\\xBCs", "ms", "s", "m", "h", "d", ""}
	text := strings.Repeat("-", random.Intn(5)/4)
	for parts := random.Intn(3) + 1; parts > 0; parts-- {
		unit := random.Intn(80)
		if unit >= len(units) {
			unit %= 8
		}
		text += oddNumber(random) + units[unit]
	}
	return text
}

func main() {
	random := rand.New(rand.NewSource(20260301))
	unescape := strings.NewReplacer("\\xC2\\xB5", "\u00b5", "\\xCE\\xBC", "\u03bc")
	escape := strings.NewReplacer("\u00b5", "\\xC2\\xB5")
	fmt.Println("/* Durations that Go's time.ParseDuration takes, with their nanoseconds and how Go prints them; NULL: it refuses them.")
	fmt.Println(" * Made by durations_by_go.go. */")
	for i := 0; i < 400; i++ {
		text := oddDuration(random)
		duration, err := time.ParseDuration(unescape.Replace(text))
		if err != nil {
			fmt.Printf("{\"%s\", 0, NULL},\n", text)
			continue
		}
		fmt.Printf("{\"%s\", INT64_C(%d), \"%s\"},\n", text, int64(duration), escape.Replace(duration.String()))
	}
}
