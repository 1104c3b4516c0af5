/** The word that somebody may have meant: the nearest of some by how many letters differ; `undefined` where none is near. */
export function nearest(word: string, words: readonly string[]): string | undefined {
  // One letter in three, as in a slip of the hand.
  let most = Math.max(1, Math.floor(word.length / 3))
  let found: string | undefined
  for (const one of words) {
    const far = distance(word.toLowerCase(), one.toLowerCase())
    if (far > most) continue
    found = one
    most = far - 1
  }
  return found
}

/** Levenshtein's. */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const swapped = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(swapped, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
