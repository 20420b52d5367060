package room

// Limits bounds what local changes may make. A field that is 0 has its default.
// A merge is never refused over a limit: boxes that were apart may each have
// filled a room, and dropping a member then would be worse than one too many.
type Limits struct {
	Rooms            int // on this box; default 10,000
	Capacity         int // of a room that does not say; default 1,000
	Members          int // most that a room may ask for as its Capacity; default 10,000
	DescriptionBytes int // default 1 KiB
	AllowEntries     int // default 64
	MetadataKeys     int // of one room; default 64
	MetadataBytes    int // keys and values of one room; default 64 KiB
	MemberBytes      int // Subject, Name and Meta of one member; default 8 KiB
}
