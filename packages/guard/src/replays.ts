import { createHash } from 'node:crypto'

/**
 * The proofs of late, so that none is taken twice (RFC 9449 section 11.1). Two generations: the young one becomes the old one after the life of a proof, so each is
 * kept for at least that long. Nothing is dropped to make room: when it is full, or one key or one subject has more than its share, further proofs are refused, since
 * what is forgotten too early could be used again.
 */
export interface Replays {
  /** @param owner whose token it is: keys cost nothing, and one of them for each token would be shares without end */
  take(jkt: string, jti: string, owner: string): 'new' | 'again' | 'full'
}

/** The part of all that one key, or one subject, may fill: whoever signs without end shuts out nobody else. */
const SHARE = 8

export function createReplays({ now, life, limit }: { now: () => number; life: number; limit: number }): Replays {
  let young = new Map<string, Set<string>>()
  let old = young
  /** Of the young ones, by owner. */
  let held = new Map<string, number>()
  let size = 0
  let turnedAt = now()
  return {
    take(jkt, jti, owner) {
      const age = (now() - turnedAt) / 1000
      if (age < 0 || age >= life) {
        // A clock that was set back must not make anything forgotten: what is young stays for another life.
        if (age >= life) {
          old = age >= 2 * life ? new Map() : young
          young = new Map()
          held = new Map()
          size = 0
        }
        turnedAt = now()
      }
      // Of one length, whatever the client wrote.
      const mark = createHash('sha256').update(jti).digest('base64url')
      if (young.get(jkt)?.has(mark) || old.get(jkt)?.has(mark)) return 'again'
      const own = young.get(jkt) ?? new Set()
      const count = held.get(owner) ?? 0
      if (size * 2 >= limit || Math.max(own.size, count) * 2 * SHARE >= limit) return 'full'
      young.set(jkt, own.add(mark))
      held.set(owner, count + 1)
      size++
      return 'new'
    },
  }
}
