package broker

import "signalbox/sync/wire"

// rights are the subjects of a box. All else is refused.
type rights struct {
	publish   []string
	subscribe []string
}

func rightsOf(box wire.BoxID) rights {
	return rights{
		publish:   []string{box.FramesSubject(), box.AskSubject(), box.LiveSubject()},
		subscribe: []string{box.NudgeSubject(), box.InboxPrefix() + ".>"},
	}
}

// maxSubscriptions of one box: its inbox and its nudge, with room to spare.
const maxSubscriptions = 8

// maxBoxPayload is the most that one message carries, of anybody.
const maxBoxPayload = wire.MaxPayloadBytes
