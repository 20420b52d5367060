/** @typedef {import('./types.js').Frame} Frame */
/** @typedef {import('./types.js').Member} Member */

/**
 * One difference between two states of a room.
 * @typedef {{type: 'join' | 'change', member: Member, before?: Member} |
 *   {type: 'leave', member: Member, reason: string}} Change
 */

/**
 * Who is in a room. A snapshot comes in pages and takes effect with its last
 * one; presence changes single members. Both are told as differences.
 */
export class Roster {
  /** @type {Map<string, Member>} */
  members = new Map();
  /** This side's member id. */
  me = '';
  /** This side's ordinal, once known. */
  #joined = 0;
  /** @type {Map<string, number>} the room version of each member's latest news, of those that left too */
  #versions = new Map();
  /** @type {any[]} pages of the snapshot being received */
  #page = [];

  /** @param {string} me @param {number} joined */
  joined(me, joined) {
    this.me = me;
    this.#joined = joined;
  }

  /**
   * A page of a snapshot.
   * @param {Frame} frame
   * @returns {Change[] | undefined} the differences, once the last page is there
   */
  page(frame) {
    if ((frame.page ?? 1) === 1) this.#page = [];
    this.#page.push(...(frame.members ?? []));
    if (frame.last === false) return undefined;
    const now = new Map(this.#page.map((raw) => [raw.member, raw]));
    this.#page = [];
    /** @type {Change[]} */
    const changes = [];
    this.#joined = now.get(this.me)?.joined ?? this.#joined;
    for (const raw of now.values()) {
      if (this.#news(raw.member, frame.version)) changes.push(...this.#put(raw));
    }
    for (const member of [...this.members.values()]) {
      if (!now.has(member.id) && this.#news(member.id, frame.version)) changes.push(...this.#drop(member.id, 'left'));
    }
    return changes;
  }

  /**
   * @param {Frame} frame a `presence`
   * @returns {Change[]}
   */
  presence(frame) {
    const raw = frame.member;
    if (!raw || !this.#news(raw.member, frame.version)) return [];
    if (raw.state === 'left') return this.#drop(raw.member, raw.reason ?? frame.reason ?? 'left');
    return this.#put(raw);
  }

  /** A new session: everybody is as unknown as at first, but stays listed until the next snapshot. */
  forget() {
    this.#versions.clear();
    this.#page = [];
  }

  /** Whether this is not older than what is known of the member. @param {string} id @param {number} version */
  #news(id, version) {
    if ((this.#versions.get(id) ?? -1) > version) return false;
    this.#versions.set(id, version);
    // Those who left are remembered only so that late news of them is recognised.
    if (this.#versions.size > 2 * this.members.size + 256) {
      for (const known of this.#versions.keys()) if (!this.members.has(known) && known !== id) this.#versions.delete(known);
    }
    return true;
  }

  /** @param {any} raw @returns {Change[]} */
  #put(raw) {
    const before = this.members.get(raw.member);
    /** @type {Member} */
    const member = {
      id: raw.member,
      subject: raw.subject ?? before?.subject ?? '',
      name: raw.name ?? before?.name ?? '',
      meta: raw.meta ?? before?.meta,
      state: raw.state ?? 'online',
      joined: raw.joined ?? before?.joined ?? 0,
      polite: false,
      self: raw.member === this.me,
    };
    // The later joiner is polite; the box's own word decides where it gives it.
    member.polite = raw.polite ?? (member.joined ? member.joined < this.#joined : false);
    this.members.set(member.id, member);
    if (!before) return [{type: 'join', member}];
    return same(before, member) ? [] : [{type: 'change', member, before}];
  }

  /** @param {string} id @param {string} reason @returns {Change[]} */
  #drop(id, reason) {
    const member = this.members.get(id);
    if (!member) return [];
    this.members.delete(id);
    return [{type: 'leave', member, reason}];
  }
}

/** @param {any} a @param {any} b */
function same(a, b) {
  return JSON.stringify(a) === JSON.stringify(b);
}
