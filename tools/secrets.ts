/**
 * Why: what was committed once is public for ever. Looks through every tracked file for what would be worth something elsewhere: private keys, tokens, passwords; and for what
 * tells of the machine where it was written. What it finds it names by its place and kind, and never repeats.
 */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { homedir } from 'node:os'

export type Kind = 'private key' | 'token of a service' | 'signed token' | 'secret' | 'password in a URL' | 'registry' | 'path of a machine'

/** What stands here on purpose. An entry that nothing needs is a mistake too. */
export const ALLOWED: { file: string; kind: Kind; why: string }[] = [
  { file: 'fuzz/captures.json', kind: 'signed token', why: 'what the fuzzer mutates: SETs of keys that were made for them and thrown away' },
  { file: 'fuzz/guard-captures.json', kind: 'signed token', why: 'the same, access tokens and proofs among them' },
]

/** Bits for each character, below which it is words or filler. */
const RANDOM = 3.9
const SERVICES = [
  /\b(?:AKIA|ASIA)[0-9A-Z]{16}\b/g,
  /\bgh[pousr]_[A-Za-z0-9]{36,}/g,
  /\bgithub_pat_[A-Za-z0-9_]{50,}/g,
  /\bglpat-[\w-]{20,}/g,
  /\bxox[abeprs]-[\w-]{20,}/g,
  /\b[rs]k_live_[A-Za-z0-9]{20,}/g,
  /\bAIza[\w-]{35}/g,
  /\bnpm_[A-Za-z0-9]{36}\b/g,
  /\bSG\.[\w-]{20,}\.[\w-]{20,}/g,
  /\bS[ACNOUX][A-Z2-7]{56}\b/g,
  /\bAGE-SECRET-KEY-1[A-Z0-9]{50,}/g,
]

interface Found {
  line: number
  kind: Kind
}

/** @param home paths of this machine that no file should know */
export function secretsIn(text: string, home: readonly string[] = []): Found[] {
  const found: Found[] = []
  const look = (kind: Kind, pattern: RegExp, holds: (value: string) => boolean = () => true) => {
    for (const match of text.matchAll(pattern)) {
      if (holds(match[1] ?? match[0])) found.push({ kind, line: text.slice(0, match.index).split('\n').length })
    }
  }
  look('private key', /-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY-----(?:\\n|\s)*([A-Za-z0-9+/=\s\\]{40,})/g)
  look('private key', /["']?\bd["']?\s*:\s*["'`]([\w-]{40,})["'`]/g, isRandom)
  for (const pattern of SERVICES) look('token of a service', pattern)
  look('signed token', /\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.([\w-]{40,})/g, isRandom)
  look(
    'secret',
    /(?:secret|passw(?:or)?d|passphrase|token|api_?key|credential)\w*["']?\s*[:=]\s*["'`]?([A-Za-z0-9+/_=-]{20,})(?![\w(.[])/gi,
    isSecret,
  )
  look('password in a URL', /\b[a-z][a-z+]+:\/\/[^\s/:@'"`]*:([^\s/@'"`$]{12,})@/g, isRandom)
  look(
    'registry',
    /\/\/(?:[\w.-]*\.)?((?:npm|registry|artifactory|nexus|verdaccio|pypi)[\w-]*\.[\w.-]+)/gi,
    (host) => !/^(registry\.)?npmjs\.(org|com)$/.test(host),
  )
  look('registry', /_auth(?:Token)?\s*=|^\s*registry\s*=/gm)
  look('path of a machine', /(?<![\w.}])\/(?:home|Users)\/[A-Za-z][\w.-]*\/[\w.]/g)
  look('path of a machine', /(?<![\w.}])\/root\/[\w.]|\b[A-Z]:\\{1,2}Users\\/g)
  for (const path of home) look('path of a machine', new RegExp(`${path.replace(/[^\w/]/g, '\\$&')}(?![\\w-])`, 'g'))
  return found
}

/** By how its characters are spread (Shannon): 43 random ones of 64 have about five bits each, words less than four. */
function isRandom(text: string): boolean {
  const counts = new Map<string, number>()
  for (const one of text) counts.set(one, (counts.get(one) ?? 0) + 1)
  const bits = [...counts.values()].reduce((sum, count) => sum - (count / text.length) * Math.log2(count / text.length), 0)
  return bits >= RANDOM
}

/** Names and sentences are no secrets, however long: what was drawn holds digits among letters of both cases. */
function isSecret(text: string): boolean {
  return isRandom(text) && /\d/.test(text) && /[a-z]/.test(text) && /[A-Z]/.test(text)
}

if (import.meta.main) {
  const home = [process.cwd(), homedir()].filter((path) => path.split('/').length > 2)
  const wrong: string[] = []
  const needed = new Set<object>()
  for (const file of execFileSync('git', ['ls-files', '-z'], { encoding: 'utf8' }).split('\0').filter(Boolean)) {
    const text = readFileSync(file, 'utf8')
    // A picture.
    if (text.includes('\0')) continue
    for (const { line, kind } of secretsIn(text, home)) {
      const allowed = ALLOWED.find((one) => one.file === file && one.kind === kind)
      if (allowed) needed.add(allowed)
      else wrong.push(`${file}:${line}: looks like a ${kind}`)
    }
  }
  for (const one of ALLOWED) if (!needed.has(one)) wrong.push(`tools/secrets.ts allows ${one.file} a ${one.kind}, which is not there`)
  if (wrong.length > 0) {
    process.stderr.write(`What should not be public:\n${wrong.map((line) => `  ${line}\n`).join('')}`)
    process.exitCode = 1
  }
}
