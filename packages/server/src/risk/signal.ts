import { formatAddress, parseAddress } from '@caegis/policy'

/** One attempt to sign in, or to refresh, as it was seen. Detections know nothing else. */
export interface Signal {
  /** Seconds. */
  at: number
  kind: 'interactive' | 'refresh'
  outcome: 'success' | 'failure'
  /** Something else than a password was tried first: nobody guessed at one. */
  passwordless?: boolean
  /** Id. Absent: nobody has the name that was given. */
  user?: string
  /** A digest of a name that nobody has, so that many are told from one. */
  name?: string
  address: string
  /** What `networkOf` says of the address; empty when unknown. */
  network: string
  /** ISO 3166; `null` = of none, absent = nobody can tell. */
  country?: string | null
  place?: Place
  /** A digest of the id in the browser's cookie; of a browser that had none, of the id that it is given now. */
  browser?: string
  /** Id of a registered device that proved itself. */
  device?: string
  session?: string
  /**
   * Something of medium or high level was found about this sign-in, and nothing has proved it since: no second factor, no administrator. It makes nothing familiar, or
   * whoever has the password would only have to sign in twice.
   */
  doubted?: boolean
}

export interface Place {
  /** Degrees. */
  latitude: number
  longitude: number
  /** Kilometres around it within which the address may be. */
  radius: number
}

/** What people move about in without moving: an IPv4 address's /24, an IPv6 address's /48. @returns empty when it is no address */
export function networkOf(text: string): string {
  const address = parseAddress(text)
  if (!address) return ''
  if (address.family === 4) return `${formatAddress({ family: 4, words: [(address.words[0] & 0xffffff00) >>> 0] })}/24`
  const [a, b] = address.words
  return `${formatAddress({ family: 6, words: [a, (b & 0xffff0000) >>> 0, 0, 0] })}/48`
}
