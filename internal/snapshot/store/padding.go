package store

import (
	"reflect"
	"unsafe"

	"github.com/kopia/kopia/repo"
	"github.com/kopia/kopia/repo/content"
)

// kopia fills each pack up to a multiple of 4 KiB with bytes by chance, so that a
// pack's size says less of what is in it. A Save writes three or four packs, most of
// which hold some hundred bytes, so filling was most of what a small change cost.
// packUnit is what they are filled up to here: whoever sees the store and not the key
// learns the size of what was saved to half a kilobyte, not to four. Readers do not
// look at it: the index says where a content is, and the end of a pack where its own
// list is.
//
// Nothing that kopia exports sets it. So its field is set, by a name and a type that
// are looked at: a kopia that has changed fills as it likes, and TestPadding says so.
const packUnit = 512

// fillPacks has packs filled to a multiple of unit. It returns whether that could be done.
func fillPacks(r repo.DirectRepository, unit int) bool {
	m, ok := r.ContentReader().(*content.WriteManager)
	if !ok || m.SharedManager == nil {
		return false
	}
	field := reflect.ValueOf(m.SharedManager).Elem().FieldByName("paddingUnit")
	if field.Kind() != reflect.Int {
		return false
	}
	*(*int)(unsafe.Pointer(field.UnsafeAddr())) = unit
	return true
}
