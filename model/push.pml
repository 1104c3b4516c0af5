/*
 * From the log to a receiver that acknowledges: I3 for pushed streams. The code: packages/ssf/src/transmitter/{lane,cursor,redeliver}.ts,
 * packages/ssf/src/receiver/{push,work-queue,act}.ts.
 *
 * Three events, of which the first and the last are about the same subject. The server that pushes and the receiver are killed anywhere; what is on the wire is lost,
 * comes late, or comes twice, also after the server that sent it has died.
 *
 *   I3  what the cursor has passed is safe at the receiver, or lies there as a letter that somebody can see; nothing is skipped
 *       nothing is acted on behind a later event about the same subject
 *       when nobody kills anything any more, everything has been acted on, or is a letter
 *
 * A name after #ifdef is a fault that test/model.test.ts puts in (spin -DNAME): each must be found, or nothing is shown by finding none.
 */

#define EVENTS 3
#define BIT(k) (1 << (k))
#define HAS(set, k) (((set) >> (k)) & 1)
#define ALL 14                  /* events 1, 2 and 3 */
#ifndef DEATHS
#define DEATHS 1                /* of each side */
#endif
#ifndef LOSSES
#define LOSSES 1
#endif

byte rows, seq;                 /* the log: which positions are filled, and the last of them */

/* Of the stream, durable. */
byte acked;                     /* cursor.ts: everything up to here is done */
byte ahead, letters;
/* Of the server that pushes it. */
byte done, flying;

byte wire, accepted, refused;   /* requests on their way; answers on their way */
byte losses, deaths;

/* Of the receiver, durable: the queue, what counts as seen, and what its handler has done in the world. */
byte queue, seen, acted;
byte unwanted;                  /* one that it refuses however often it comes */
byte receiverDeaths;

/* change.ts: the number is taken under the lock, so rows appear in their order. */
#ifdef NUMBER_BEFORE_COMMIT
#define MAY_COMMIT true
#else
#define MAY_COMMIT (k == 1 || HAS(rows, k - 1))
#endif
active [EVENTS] proctype Change() {
  byte k = _pid + 1;
  atomic {
    MAY_COMMIT ->
    rows = rows | BIT(k);
    seq = (k > seq -> k : seq);
    assert(k > acked)           /* I3: nobody has passed it */
  }
}

/* lane.ts: two of the same subject are never under way at once, and none goes before an earlier one. */
#define SETTLED (done | ahead | (BIT(acked + 1) - 1))
#ifdef SUBJECTS_MIXED
#define IN_ORDER(k) true
#else
#define IN_ORDER(k) (k != 3 || HAS(SETTLED, 1))
#endif
#ifdef DONE_WHEN_SENT
#define SENT(k) done = done | BIT(k)
#else
#define SENT(k) skip
#endif
#ifdef DONE_BEFORE_LETTER
#define BURY(k) skip
#else
#define BURY(k) letters = letters | BIT(k)
#endif

/* start, fly; land; bury: a letter before it counts as done; no answer in time: it goes out again. */
#define DELIVER(k) \
  :: atomic { HAS(rows, k) && !HAS(SETTLED | flying, k) && IN_ORDER(k) -> wire = wire | BIT(k); flying = flying | BIT(k); SENT(k) } \
  :: atomic { HAS(flying & accepted, k) -> flying = flying & ~BIT(k); accepted = accepted & ~BIT(k); done = done | BIT(k) } \
  :: atomic { HAS(flying & refused, k) -> BURY(k); done = done | BIT(k); flying = flying & ~BIT(k); refused = refused & ~BIT(k) } \
  :: atomic { HAS(flying, k) && !HAS(wire | accepted | refused, k) -> flying = flying & ~BIT(k) }

active proctype Lane() {
end:
  do
  DELIVER(1)
  DELIVER(2)
  DELIVER(3)
  /* look: the cursor passes what is done, in order */
  :: atomic {
       HAS(done | ahead, acked + 1) || (acked < seq && !HAS(rows, acked + 1)) ->
       acked++;
       assert(!HAS(rows, acked) || HAS(queue | seen | letters, acked))       /* I3 */
     }
  :: atomic { (done & ~ahead) != 0 -> ahead = ahead | done }                /* saveProgress */
  /* Killed. What it had sent may still arrive; nobody hears the answer. What ended as a letter is done: `begun`. */
  :: atomic { deaths < DEATHS -> deaths++; flying = 0; accepted = 0; refused = 0; done = letters }
  od
}

active proctype Wire() {
  byte k;
end:
  do
  :: atomic {
       wire != 0 ->
       if
       :: HAS(wire, 1) -> k = 1
       :: HAS(wire, 2) -> k = 2
       :: HAS(wire, 3) -> k = 3
       fi;
       if
       :: losses < LOSSES -> losses++; wire = wire & ~BIT(k)                /* lost */
       :: unwanted == 0 && !HAS(queue | seen, k) -> unwanted = BIT(k)
       :: HAS(unwanted, k) -> wire = wire & ~BIT(k); refused = refused | (BIT(k) & flying)      /* 400 */
       :: !HAS(unwanted, k) ->
         /* push.ts: 202 once it is in the queue. A copy of it may come again. */
#ifdef ACCEPTED_BEFORE_QUEUED
         accepted = accepted | (BIT(k) & flying); wire = wire & ~BIT(k);
         if
         :: true
         :: receiverDeaths < DEATHS -> receiverDeaths++; k = 0
         fi;
#endif
         queue = (k > 0 && !HAS(seen, k) -> queue | BIT(k) : queue);
         if
         :: wire = wire & ~BIT(k)
         :: losses < LOSSES -> losses++                                     /* twice */
         fi;
         if
         :: accepted = accepted | (BIT(k) & flying)
         :: losses < LOSSES -> losses++                                     /* the answer is lost */
         fi
       fi;
       k = 0
     }
  od
}

#ifdef SEEN_BEFORE_ACTED
#define FIRST seen = seen | BIT(k)
#else
#define FIRST skip
#endif

/* work-queue.ts, act.ts: in order for each subject; seen once the handler has ended. */
active proctype Worker() {
  byte k;
end:
  do
  :: atomic {
       queue != 0 ->
       if
       :: HAS(queue, 1) -> k = 1
       :: HAS(queue, 2) -> k = 2
       :: HAS(queue, 3) && !HAS(queue, 1) -> k = 3
       fi
     };
     if
     :: HAS(seen, k)                                                        /* a duplicate */
     :: !HAS(seen, k) ->
        FIRST;
        if
        :: true
        :: receiverDeaths < DEATHS -> receiverDeaths++; goto killed
        fi;
        atomic {
          assert(k != 1 || !HAS(acted, 3));                                 /* never behind a later one */
          acted = acted | BIT(k)
        };
        if
        :: seen = seen | BIT(k)
        :: receiverDeaths < DEATHS -> receiverDeaths++; goto killed
        fi
     fi;
     atomic { queue = queue & ~BIT(k); assert(HAS(acted, k)) };
killed:
     k = 0
  od
}

#ifdef ARRIVES
ltl arrives { <>[] (((acted | letters) & ALL) == ALL) }
#endif
