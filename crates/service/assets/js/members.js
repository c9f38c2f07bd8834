// Who decides in a household: guardians who come and go, changes that need two of them, recovery keys. The rules of
// crates/core/src/guardians.rs, as a part of the log that verify.js folds.
//
// Whether an entry is taken is judged by the time the entry names; what holds now by the time the caller gives.

const DAY_MS = 24 * 60 * 60 * 1000;
export const REMOVAL_DELAY_MS = DAY_MS;
export const RECOVERY_DELAY_MS = 2 * DAY_MS;
export const ERASE_DELAY_MS = 7 * DAY_MS;
export const PROPOSAL_LIFE_MS = 7 * DAY_MS;
export const MAX_RECOVERY_KEYS = 8;

/** Whether they may see and answer orders at `now`. */
export const acts = (member, now) => member.joins <= now && (!member.leaving || now < member.leaving.at);
/** Whether they may sign entries at `now`, and count for two. */
export const counts = (member, now) => acts(member, now) && member.countsFrom <= now;
/** As `acted`, and counted by then. */
export const counted = (member, seq, at) => acted(member, seq, at) && member.countsFrom <= at;
/** Whether what they signed at `at`, knowing the entries up to number `seq`, was theirs to sign. */
export const acted = (member, seq, at) =>
  member.since <= seq && member.joins <= at && (!member.leaving || seq < member.leaving.seq || at < member.leaving.at);
export const isOpen = (proposal, now) => !proposal.over && now < proposal.at + PROPOSAL_LIFE_MS;

/** The guardians' part of a folded log. `fail(code, why)` throws. */
export class Members {
  constructor(founder, fail) {
    this.fail = fail;
    const atOnce = { joins: -Infinity, countsFrom: -Infinity };
    this.members = new Map([[founder.guardian, { guardian: founder, since: 0, ...atOnce, leaving: null, recovery: null }]]);
    /** By the digest of their entry: {by, at, change, over}. */
    this.proposals = new Map();
    this.recovery = new Set();
    this.used = new Set();
    /** The erasing that nobody has objected to: {entry, by, from}. */
    this.erasing = null;
  }

  need(holds, why, code = "bad-log-entry") {
    if (!holds) this.fail(code, why);
  }

  counting(now) {
    return [...this.members.values()].filter((member) => counts(member, now));
  }

  needTwo(now) {
    return this.counting(now).length >= 2;
  }

  maySign(guardian, at) {
    const member = this.members.get(guardian);
    this.need(member, "not a guardian");
    if (counts(member, at)) return;
    this.need(!(acts(member, at) || at < member.joins), "new", "guardian-not-counting");
    this.need(false, "not a guardian any more");
  }

  checkNew({ guardian, counts_from: from }, at, coolingMs) {
    this.need(from >= at + coolingMs, "counts too early");
    this.checkPerson(guardian);
  }

  checkPerson(person) {
    const same = ({ guardian: known }) => ["guardian", "credential", "key"].some((name) => known[name] === person[name]);
    this.need(![...this.members.values()].some(same), "known already", "guardian-exists");
  }

  add({ guardian, counts_from: from }, { seq, at }, coolingMs) {
    this.checkPerson(guardian);
    const countsFrom = Math.max(from, at + coolingMs);
    this.members.set(guardian.guardian, { guardian, since: seq, joins: -Infinity, countsFrom, leaving: null, recovery: null });
  }

  remove(gone, by, { seq, digest, at }) {
    const member = this.members.get(gone);
    this.need(member && acts(member, at), "no such guardian");
    const effect = gone === by ? at : at + REMOVAL_DELAY_MS;
    this.need(!member.leaving || member.leaving.at > effect, "leaving already");
    const left = this.counting(at).some((other) => other !== member && !other.leaving);
    this.need(left, "nobody would be left", "last-guardian");
    member.leaving = { entry: digest, seq, at: effect };
  }

  erase(by, { digest, at }) {
    this.need(!this.erasing, "to be erased already");
    this.erasing = { entry: digest, by, from: at + ERASE_DELAY_MS };
  }

  object(to, by, at) {
    if (this.erasing?.entry === to) {
      this.erasing = null;
      return;
    }
    const own = this.members.get(by);
    if (own.leaving?.entry === to && at < own.leaving.at) {
      own.leaving = null;
      return;
    }
    const coming = [...this.members.values()].find((member) => member.recovery === to && at < member.joins);
    this.need(coming, "nothing to object to");
    coming.leaving = { entry: to, seq: coming.since, at: coming.joins };
    coming.recovery = null;
  }

  propose(change, by, { digest, at }) {
    this.proposals.set(digest, { by, at, change, over: false });
  }

  /** The change, for another guardian than the one who proposed it and who still counts. */
  second(digest, by, at) {
    const proposal = this.proposals.get(digest);
    this.need(proposal, "no such proposal");
    const proposer = this.members.get(proposal.by);
    this.need(isOpen(proposal, at) && counts(proposer, at), "over", "proposal-over");
    this.need(proposal.by !== by, "another guardian must second it");
    return proposal.change;
  }

  close(digest) {
    this.proposals.get(digest).over = true;
  }

  withdraw(digest, at) {
    const proposal = this.proposals.get(digest);
    this.need(proposal, "no such proposal");
    this.need(isOpen(proposal, at), "over", "proposal-over");
    this.close(digest);
  }

  enrolRecovery({ keys }) {
    const fresh = new Set(keys);
    const sound = keys.length >= 1 && keys.length <= MAX_RECOVERY_KEYS && fresh.size === keys.length;
    this.need(sound && !keys.some((key) => this.used.has(key)), "not 1 to 8 new keys");
    this.recovery = fresh;
  }

  /** A new guardian by a recovery key that must have signed the entry. */
  recover(guardian, key, { seq, digest, at }) {
    this.checkPerson(guardian);
    this.recovery.delete(key);
    this.used.add(key);
    const joins = at + RECOVERY_DELAY_MS;
    this.members.set(guardian.guardian, { guardian, since: seq, joins, countsFrom: joins, leaving: null, recovery: digest });
  }
}
