package wire

// AlertKind is a condition at a box that somebody should know of.
type AlertKind string

// The kinds, and what Value of an Alert says.
const (
	AlertOutboxReset    AlertKind = "outbox-reset"    // the outbox was damaged and begun anew; 1 damaged, 2 the cloud was ahead
	AlertOutboxMerging  AlertKind = "outbox-merging"  // old frames are merged for want of room; bytes used
	AlertOutboxFailing  AlertKind = "outbox-failing"  // frames could not be written; minutes since
	AlertStoreRecovered AlertKind = "store-recovered" // rooms were recovered from a copy; the rung of the ladder
	AlertClock          AlertKind = "clock"           // the clock is wrong; milliseconds
	AlertDisk           AlertKind = "disk"            // little room left; bytes free
	AlertMemory         AlertKind = "memory"          // near its limit; bytes in use
	AlertTemperature    AlertKind = "temperature"     // too hot; thousandths of a degree
	AlertPart           AlertKind = "part"            // a part is unhealthy; how many
	AlertRelayFull      AlertKind = "relay-full"      // allocations are refused for want of room; how many
	AlertRelayBandwidth AlertKind = "relay-bandwidth" // the relay's limit is reached; bits a second
	AlertSessionsFull   AlertKind = "sessions-full"   // sign-ins are refused for want of room; sessions
	AlertCertificate    AlertKind = "certificate"     // ends soon and is not renewed; its end in Unix milliseconds
	AlertBackup         AlertKind = "backup"          // no copy for long; the newest in Unix milliseconds, 0 for none
	AlertPolicy         AlertKind = "policy"          // the desired policy is not in force; its revision
	AlertUpgrade        AlertKind = "upgrade"         // a new version failed its trial and the one before runs again; since when in Unix milliseconds
	AlertExhaustion     AlertKind = "exhaustion"      // something runs out soon; the metric's id
)

// AlertKinds are all kinds with a sentence for people.
var AlertKinds = map[AlertKind]string{
	AlertOutboxReset:    "The outbox was begun anew.",
	AlertOutboxMerging:  "The outbox is full: old minutes are merged into hours or days.",
	AlertOutboxFailing:  "The outbox cannot be written.",
	AlertStoreRecovered: "The box's state was recovered from a copy.",
	AlertClock:          "The box's clock is wrong.",
	AlertDisk:           "The box's disk is nearly full.",
	AlertMemory:         "The box is near its limit of memory.",
	AlertTemperature:    "The box is too hot.",
	AlertPart:           "A part of the box is unhealthy.",
	AlertRelayFull:      "The relay refuses allocations for want of room.",
	AlertRelayBandwidth: "The relay has reached its limit of bandwidth.",
	AlertSessionsFull:   "The box refuses sign-ins for want of room.",
	AlertCertificate:    "The box's certificate ends soon.",
	AlertBackup:         "The box has no recent backup.",
	AlertPolicy:         "The box does not follow the desired policy.",
	AlertUpgrade:        "A new version failed on the box, and the one before was put back.",
	AlertExhaustion:     "The box runs out of something soon.",
}

// PolicyFault is why a desired policy is not in force.
type PolicyFault string

// The faults there are, as they are shown.
const (
	PolicyFaultNone    PolicyFault = ""
	PolicyFaultUnknown PolicyFault = "It has a key that this version does not know."
	PolicyFaultValue   PolicyFault = "It has a value that is not allowed."
	PolicyFaultForm    PolicyFault = "It is not a policy document."
	PolicyFaultApply   PolicyFault = "A part of the box could not follow it."
)

// PolicyFaults are all of them.
var PolicyFaults = []PolicyFault{PolicyFaultNone, PolicyFaultUnknown, PolicyFaultValue, PolicyFaultForm, PolicyFaultApply}

// Outcome is how a command ended.
type Outcome string

// The outcomes there are, as they are shown.
const (
	OutcomeDone        Outcome = "Done."
	OutcomeUnknown     Outcome = "This version does not know the command."
	OutcomeArguments   Outcome = "The arguments are not right."
	OutcomeExpired     Outcome = "It came after it had expired."
	OutcomeNotFound    Outcome = "There is nothing of that id."
	OutcomeFailed      Outcome = "It failed; the box's log says why."
	OutcomeInterrupted Outcome = "The box restarted while it was carried out."
	OutcomeUnavailable Outcome = "The part it is for is not running."
)

// Outcomes are all of them.
var Outcomes = []Outcome{OutcomeDone, OutcomeUnknown, OutcomeArguments, OutcomeExpired, OutcomeNotFound, OutcomeFailed, OutcomeInterrupted, OutcomeUnavailable}
