/*
 * Mint against revoke, at the issuer: the first half of I1. The code: packages/server/src/issuer/{issuer,fence,record-mints}.ts, packages/server/src/store/change.ts.
 *
 * Two servers over one store answer token requests and commit revocations of the same user, in any order, killed anywhere, by clocks that lag, run ahead or are set
 * back. Of every token that has left a server, a guard that knows of all revocations must say:
 *
 *   decided before a revocation  ->  refused (iat <= t)         I1
 *   decided after it             ->  not refused by it (iat > t): somebody who signs in again is let in at once
 *
 * A name after #ifdef is a fault that test/model.test.ts puts in (spin -DNAME): each must be found, or nothing is shown by finding none.
 */

#ifndef END
#define END 2                   /* how far the clock goes, in whole seconds, as instants do: much happens within one */
#endif
#define TRIES 2                 /* decisions that a request may take; MAX_TRIES in issuer.ts is 8 */
#define MAX(a, b) ((a) > (b) -> (a) : (b))

byte clock = 1;                 /* the store's: the only one that places a cutoff */
bool setBack;                   /* once, by a second */

byte version;                   /* of the user's row: how many revocations have been committed */
byte validFrom, lastIat;        /* columns of it: the last cutoff, and the greatest iat that was minted under it */

byte sharing;                   /* the tenant's lock (store/postgres/locks.ts): mints share it ... */
bool alone;                     /* ... and a change has it alone. SQLite has one transaction at a time, which allows less */

typedef Token { bool out; byte iat; byte seen }
Token token[2];                 /* that have left. `seen` is the version that the decision was made by, which nobody can read from a token */
byte t[3];                      /* t[k]: instant of the k-th revocation */

/* guard/realm.ts, judge */
#ifdef GUARD_COMPARES_LESS
#define REFUSED(iat, t) ((iat) < (t))
#else
#define REFUSED(iat, t) ((iat) <= (t))
#endif

inline judge() {
  d_step {
    for (i : 0 .. 1) {
      for (k : 1 .. 2) {
        if
        :: token[i].out && k <= version -> assert(REFUSED(token[i].iat, t[k]) == (token[i].seen < k))
        :: else
        fi
      }
    }
    i = 0;
    k = 0
  }
}

#ifdef FENCE_WITHOUT_LOCK
#define SHARE skip
#define LEAVE skip
#else
#define SHARE !alone -> sharing++
#define LEAVE sharing--
#endif

#ifdef FENCE_WITHOUT_VERSIONS
#define MOVED false
#else
#define MOVED (seen != version)
#endif

#ifdef FENCE_WITHOUT_CUTOFF
#define COVERED false
#else
#define COVERED (iat <= validFrom)
#endif

/* A token may be ahead of the clock only where the clock fell behind a cutoff. */
#define AHEAD (iat > clock && iat > validFrom + 1)

/* recordMints */
#ifdef LAST_IAT_FORGOTTEN
#define NOTE skip
#else
#define NOTE lastIat = MAX(lastIat, iat)
#endif

#define SEND token[_pid].iat = iat; token[_pid].seen = seen; token[_pid].out = true

/* issuer.ts, settle: decide, pass the fence, and only then let the answer out; or decide anew. */
active [2] proctype Server() {
  byte try, iat, next, seen, i, k;
  for (try : 1 .. TRIES) {
    /* createAttempt: the store's clock as this server knows it, which may be late, or early after a jump. */
    if
    :: next > 0 -> iat = next
    :: next == 0 -> iat = clock
    :: next == 0 && clock > 0 -> iat = clock - 1
    :: next == 0 -> iat = clock + 1
    fi;
    /* The decision. It holds no lock; what it has read is noted with its version. */
    seen = version;
    /* passFence: one transaction, sharing the lock: nothing that it looks at moves while it has that. */
    atomic {
      SHARE;
      if
      :: MOVED || (AHEAD && !COVERED) -> next = 0; LEAVE; goto again
      :: !MOVED && COVERED ->
        /* nextInstant: wait for the clock; where it is far behind, take the second after the cutoff. */
        next = (validFrom > clock -> validFrom + 1 : 0);
        LEAVE;
        goto again
      :: else
      fi
    }
#ifdef ANSWER_BEFORE_COMMIT
    atomic { SEND };
#endif
    if
    :: atomic { NOTE; LEAVE }
       if
       :: atomic { SEND; judge() }
       :: skip         /* killed between commit and answer */
       fi
    :: LEAVE           /* killed before the commit: rolled back */
    fi;
    break;
again:
  }
  atomic { iat = 0; next = 0; seen = 0; try = 0 }   /* so that equal states look equal */
}

/* change.ts, runChange: revokes the user's tokens. */
active [2] proctype Revocation() {
  byte now, i, k;
#ifdef CLOCK_BEFORE_LOCK
  now = clock;
  atomic { !alone && sharing == 0 -> alone = true };
#else
  atomic { !alone && sharing == 0 -> alone = true; now = clock };
#endif
  if
  :: atomic {
       version++;
       /* moveInstants: never below an earlier cutoff of the row, never below an iat that was minted under it. */
       validFrom = MAX(MAX(now, validFrom), lastIat);
       t[version] = validFrom;
       judge();
       alone = false
     }
  :: alone = false     /* killed before the commit: rolled back */
  fi;
  now = 0
}

active proctype Clock() {
end:
  do
  :: clock < END -> clock++
  :: atomic { !setBack && clock > 0 -> setBack = true; clock-- }
  od
}
