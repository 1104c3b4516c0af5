/** What the page shows of an access token. A client must not rely on what stands in one: this is for show only. */
export interface TokenFacts {
  /** Milliseconds since 1970. */
  expires: number
  /** Whether it lives long because its access can be taken back at any moment. */
  continuous: boolean
}

export function readFacts(token: string): TokenFacts | undefined {
  try {
    const text = atob((token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/'))
    const claims = JSON.parse(text) as { exp: number; xms_cc?: string[] }
    return { expires: claims.exp * 1000, continuous: [claims.xms_cc ?? []].flat().some((one) => one.toLowerCase() === 'cp1') }
  } catch {
    return undefined
  }
}
