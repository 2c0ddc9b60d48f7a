package upstream

import (
	"fmt"
	"net/http"

	"golang.org/x/net/http/httpguts"
)

// checkHead refuses what ReadResponse lets pass and no client should see: a
// status that is none, another protocol, fields that break the head they are
// written into.
func checkHead(resp *http.Response) error {
	if resp.ProtoMajor != 1 {
		return &BadResponseError{fmt.Errorf("it is %s, not HTTP/1", resp.Proto)}
	}
	if resp.StatusCode < 100 || resp.StatusCode > 999 {
		return &BadResponseError{fmt.Errorf("its status is %d", resp.StatusCode)}
	}
	for name, values := range resp.Header {
		if !httpguts.ValidHeaderFieldName(name) {
			return &BadResponseError{fmt.Errorf("it has a field with the name %q", name)}
		}
		for _, v := range values {
			if !httpguts.ValidHeaderFieldValue(v) {
				return &BadResponseError{fmt.Errorf("its field %s has a control character in it", name)}
			}
		}
	}
	return nil
}
