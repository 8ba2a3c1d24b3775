package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// byCause joins errors, but of those that say of different objects the same thing,
// as all do when a disk is full, it keeps the first, and how many there were.
func byCause(errs []error) error {
	var order []string
	first, times := map[string]error{}, map[string]int{}
	for _, err := range errs {
		if err == nil {
			continue
		}
		cause := causeOf(err)
		if times[cause]++; times[cause] == 1 {
			order = append(order, cause)
			first[cause] = err
		}
	}
	joined := make([]error, len(order))
	for i, cause := range order {
		joined[i] = first[cause]
		if n := times[cause] - 1; n > 0 {
			joined[i] = fmt.Errorf("%w (and %d more of the same cause)", first[cause], n)
		}
	}
	return errors.Join(joined...)
}

// causeOf returns what an error says but for the names of objects, or all that it
// says if that cannot be told apart.
func causeOf(err error) string {
	var causes []string
	var walk func(error)
	walk = func(err error) {
		switch e := err.(type) {
		case *fs.PathError:
			causes = append(causes, e.Op+": "+e.Err.Error())
		case interface{ Unwrap() []error }:
			for _, err := range e.Unwrap() {
				walk(err)
			}
		case interface{ Unwrap() error }:
			walk(e.Unwrap())
		}
	}
	walk(err)
	if len(causes) == 0 {
		return err.Error()
	}
	slices.Sort(causes)
	return strings.Join(slices.Compact(causes), "\n")
}
