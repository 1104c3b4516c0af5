/*
 * From the log to the guard: I2, I3, I4 and the second half of I1. The code: packages/server/src/store/change.ts, packages/ssf/src/transmitter/{poll,snapshot}.ts,
 * packages/ssf/src/receiver/{follow,delivery,carrier}.ts, packages/guard/src/{realm,freshness}.ts.
 *
 * Two servers append to the log of one tenant; one guard loads a snapshot, polls, and is brought events by a broker, in any order and as often as that likes. A
 * server is killed anywhere, an answer is lost anywhere (a server's death, a partition), the guard is killed, and the database is restored from an older copy, which
 * nobody says to anybody.
 *
 *   I1  a request with a token that a change has cut off is never allowed once the guard has known of the change, even if the guard starts anew
 *   I2  an edit, its event, its cutoff and its job are all there, or none
 *   I3  whatever the guard calls itself in step with, it has all of: nothing is skipped
 *   I4  a request is allowed only BOUND + TRAVEL ticks after a change that the guard does not know of, and never by a guard that has not been hydrated
 *
 * A name after #ifdef is a fault that test/model.test.ts puts in (spin -DNAME): each must be found, or nothing is shown by finding none.
 */

#ifndef CHANGES
#define CHANGES 2           /* that are begun; each cuts off the tokens of somebody else */
#endif
#ifndef END
#define END 3               /* ticks */
#endif
#define BOUND 1             /* maxStaleness */
#define TRAVEL 1            /* the longest that a poll may take, by the guard's own clock: FollowOptions.timing.grace */
#ifndef RESTORES
#define RESTORES 1
#endif
#ifndef DEATHS
#define DEATHS 1            /* of the guard */
#endif
#ifndef LOSSES
#define LOSSES 255          /* without a bound; with one, the guard has to get there in the end */
#endif
#if LOSSES == 255
#define LOSE skip
#else
#define LOSE losses++
#endif
#define BIT(k) (1 << (k))

byte now;                   /* the clock. Those of guard and transmitter differ by a constant, which cancels out: see freshness.ts */

/* The database. What the k-th change has written is bit k of each. */
byte epoch = 1, seq;        /* row of the tenant */
byte row[CHANGES + 2];      /* row[s]: the change whose event stands at position s. Stands for the event's random id, too */
byte edits, events, cutoffs, jobs;
byte lock;

byte begun;                 /* changes so far */
byte restores;

/* What nobody in the system knows. */
byte lost;                  /* changes that a restore has taken back */
byte at[CHANGES + 1];       /* at[k]: when it was committed */

byte where[CHANGES + 1], then[CHANGES + 1];   /* position and epoch that its event was published by, which the broker keeps */

#define WHOLE assert(edits == events && edits == cutoffs && edits == jobs)     /* I2 */

/* change.ts: under the tenant's lock; the number is taken there, last, and all of it is one transaction. */
active [2] proctype Server() {
  byte k, s;
end:
  do
#ifdef NUMBER_BEFORE_COMMIT                    /* from a sequence of the database's, and no lock */
  :: atomic { begun < CHANGES -> begun++; k = begun; s = k }
#else
  :: atomic { begun < CHANGES && !lock -> lock = true; begun++; k = begun; s = seq + 1 }
#endif
#ifdef EVENT_AFTER_COMMIT                      /* in a transaction of its own, behind the edit's */
     edits = edits | BIT(k);
#endif
     if
     :: atomic {
          edits = edits | BIT(k); events = events | BIT(k); cutoffs = cutoffs | BIT(k); jobs = jobs | BIT(k);
          row[s] = k; seq = (s > seq -> s : seq);
          at[k] = now; where[k] = s; then[k] = epoch
        }
     :: skip                                   /* killed: rolled back, and the lock is free */
     fi;
     atomic { lock = false; k = 0; s = 0; WHOLE }
  od
}

/* The guard. */
bool hydrated, inSync;
byte known;                 /* its cutoffs. Merging takes the later one, so a bit that is set stays */
byte ever;                  /* the same, outliving its death: for I1 */
byte inEpoch, upTo, last;   /* its position: epoch (0: none), seq, and which event stands there */
byte newest, offset;        /* freshness.ts: the newest head's asOf, and the shortest way that one has had */
byte deaths, losses;

#define KNOWS(k) ((known >> (k)) & 1)
#define ALLOWS(k) (hydrated && inSync && now - newest - offset <= BOUND && !KNOWS(k))      /* realm.ts, judge; staleness `strict` */

inline outOfSync() { inEpoch = 0; upTo = 0; last = 0; inSync = false }
inline learn(mask) { known = known | (mask); ever = ever | (mask) }

/* delivery.ts, arrange: what follows the position; what is there already is only acknowledged; a hole is a fault. */
inline apply(k, s) {
  if
  :: inEpoch == 0 || s <= upTo
  :: inEpoch != 0 && s > upTo && k != 0 -> learn(BIT(k)); upTo = s; last = k
  :: inEpoch != 0 && s > upTo && k == 0 -> outOfSync()
  fi
}

/* follow.ts and freshness.ts: everything up to a head that was read at `asOf` is in force. */
inline synced(asOf) {
  assert((hKnown & ~lost & ~known) == 0);      /* I3 */
  if
  :: !inSync || now - asOf < offset -> offset = now - asOf
  :: else
  fi;
  newest = (!inSync || asOf > newest -> asOf : newest);
  hydrated = true;
  inSync = true
}

#ifdef POSITION_WITHOUT_EVENT
#define ELSEWHERE (from > hSeq)
#else
#define ELSEWHERE (from > hSeq || row[from] != stands)
#endif

#ifdef TRAFFIC_PROVES
#define HEARD ; newest = now; offset = 0
#else
#define HEARD
#endif

#ifdef POLL_WITHOUT_TIMEOUT
#define IN_TIME true
#else
#define IN_TIME (now <= asked + TRAVEL)
#endif

#ifdef SYNCED_BEFORE_HEAD
#define REACHED true
#else
#define REACHED (upTo >= hSeq)
#endif

#ifdef OLD_EPOCH_TRUSTED
#define ANOTHER_LOG (hEpoch == inEpoch && hSeq < from)
#else
#define ANOTHER_LOG (hEpoch != inEpoch || hSeq < from)
#endif

active proctype Guard() {
  byte asked, from, stands, hEpoch, hSeq, hKnown, content, a;
end:
  do
  /* snapshot.ts: where the log stands, then what holds, then the epoch once more. It makes nobody fresh: the poll behind it does. */
  :: inEpoch == 0 ->
#ifdef SNAPSHOT_POSITION_LAST
     content = cutoffs;
#endif
     atomic { hEpoch = epoch; hSeq = seq; a = row[seq] };
#ifndef SNAPSHOT_POSITION_LAST
     content = cutoffs;
#endif
     if
     :: atomic { hEpoch == epoch -> learn(content); inEpoch = hEpoch; upTo = hSeq; last = a }
     :: losses < LOSSES || hEpoch != epoch -> LOSE
     fi;
     atomic { hEpoch = 0; hSeq = 0; content = 0; a = 0 }

  /* poll.ts, turn: the head (asOf is read before it), then by one query the row where the guard stands and those behind it. */
  :: inEpoch != 0 ->
     atomic { asked = now; from = upTo; stands = last; hEpoch = epoch; hSeq = seq; hKnown = events };
     atomic {
       if
       :: hEpoch == inEpoch && ELSEWHERE ->
         /* onAhead (signals/renewal.ts): it stands in another log than this one. */
         epoch = (epoch == hEpoch -> epoch + 1 : epoch);
         hEpoch = epoch
       :: hEpoch == inEpoch && !ELSEWHERE ->
         a = (hSeq > from -> row[from + 1] : 0)         /* as many as fit: here, one */
       :: else
       fi
     };
     if
     :: atomic {
          IN_TIME ->                           /* follow.ts, receiveAsGuard */
          if
          :: ANOTHER_LOG -> outOfSync()
          :: else ->
            if
            :: hSeq > from -> apply(a, from + 1)
            :: else
            fi;
            if
            :: inEpoch != 0 && REACHED -> synced(asked)
            :: else
            fi
          fi
        }
     :: losses < LOSSES || !IN_TIME -> LOSE HEARD    /* what is known stays, and ages */
     fi;
     atomic { asked = 0; from = 0; stands = 0; hEpoch = 0; hSeq = 0; hKnown = 0; a = 0 }

  :: atomic {
       deaths < DEATHS ->
       deaths++; outOfSync(); known = 0; newest = 0; offset = 0;
#ifdef STARTS_EMPTY
       inSync = true; inEpoch = epoch; upTo = seq; last = row[seq]; newest = now
#else
       hydrated = false
#endif
     }
  od
}

/* signals/fleet.ts compares with what the broker holds before it publishes, and so notices a restore before it says anything of the log behind it. */
#ifdef BROKER_FORGETS
#define PUBLISHED(k) true
#else
#define PUBLISHED(k) (lost == 0 || then[k] > 1)
#endif

/* carrier.ts: any event, whenever and as often as the broker likes; taken by whoever is in step already and lacks just that one. */
active proctype Broker() {
  byte k;
end:
  do
  :: atomic {
       inSync && inEpoch != 0 ->
       select(k : 1 .. CHANGES);
       if
       :: where[k] > 0 && PUBLISHED(k) && then[k] == inEpoch && where[k] == upTo + 1 -> learn(BIT(k)); upTo++; last = k
       :: else
       fi;
       k = 0
     }
  od
}

/* Whoever asks the API, at any moment, with a token that the k-th change has cut off. */
active proctype Request() {
  byte k;
end:
  do
  :: d_step {
       for (k : 1 .. CHANGES) {
         if
         :: ((events & ~lost) >> k) & 1 && ALLOWS(k) ->
           assert(!((ever >> k) & 1));                   /* I1 */
           assert(now <= at[k] + BOUND + TRAVEL)         /* I4 */
         :: else
         fi
       }
       k = 0
     }
  od
}

active proctype World() {
end:
  do
  :: now < END -> now++
  /* An older copy takes over: some of the last rows are gone, and the epoch is what it was. */
  :: atomic {
       restores < RESTORES && !lock && seq > 0 ->
       restores++;
       do
       :: seq > 0 -> lost = lost | BIT(row[seq]); row[seq] = 0; seq--
       :: lost != 0 -> break
       od;
       edits = edits & ~lost; events = events & ~lost; cutoffs = cutoffs & ~lost; jobs = jobs & ~lost
     }
  /* Perhaps somebody else has noticed: another guard, a server's own, the publisher to the fleet. */
  :: atomic { lost != 0 && epoch == 1 -> epoch++ }
  od
}

#ifdef HEALS
/* I3, in the end: when nobody kills anything any more, the guard is in step, whatever happened. */
ltl heals { <>[] (hydrated && inSync && inEpoch == epoch && upTo == seq && (events & ~known) == 0) }
#endif
