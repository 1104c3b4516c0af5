import { compileRanges, isRange, parseAddress } from '@caegis/policy'

export interface RangeMistake {
  /** Of the text, counted from 1. */
  line: number
  text: string
}

/** What a text of ranges says. */
export interface RangesRead {
  /** In order, each once. */
  ranges: string[]
  four: number
  six: number
  /** Entries that stood there before. */
  duplicates: number
  /** Ranges that are left once overlapping and touching ones are joined, as guards join them. */
  joined: number
  /** Ranges so wide that they are worth another look. */
  wide: string[]
  /** The first ones. */
  mistakes: RangeMistake[]
  mistaken: number
}

const MOST_TOLD = 100
/** Prefixes below these cover a good part of the internet. */
const WIDE = { four: 8, six: 16 } as const

/** Reads ranges, one a line or several with commas, semicolons or blanks between them; what stands behind # is a remark. */
export function readRanges(text: string): RangesRead {
  const found = new Set<string>()
  const mistakes: RangeMistake[] = []
  const wide: string[] = []
  let [four, six, duplicates, mistaken] = [0, 0, 0, 0]
  const lines = text.split('\n')
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at] as string
    const remark = line.indexOf('#')
    for (const entry of (remark < 0 ? line : line.slice(0, remark)).split(/[\s,;]+/)) {
      if (entry === '') continue
      if (!isRange(entry)) {
        mistaken++
        if (mistakes.length < MOST_TOLD) mistakes.push({ line: at + 1, text: entry.slice(0, 60) })
      } else if (found.has(entry)) duplicates++
      else {
        found.add(entry)
        const [address = '', prefix] = entry.split('/')
        const isFour = parseAddress(address)?.family === 4
        if (isFour) four++
        else six++
        if (prefix !== undefined && Number(prefix) < (address.includes(':') ? WIDE.six : WIDE.four)) wide.push(entry)
      }
    }
  }
  const ranges = [...found]
  return { ranges, four, six, duplicates, joined: compileRanges(ranges).size, wide, mistakes, mistaken }
}
