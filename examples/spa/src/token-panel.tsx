import { useEffect, useState } from 'react'
import type { TokenFacts } from './token.ts'

/** How long the token in use would live, and whether it can be taken back. */
export function TokenPanel({ token }: { token: TokenFacts | undefined }) {
  const [now, setNow] = useState(Date.now)
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000)
    return () => clearInterval(timer)
  }, [])
  return (
    <dl className="facts">
      <div>
        <dt>Token expires in</dt>
        <dd>{token ? duration(token.expires - now) : 'no token yet'}</dd>
      </div>
      <div>
        <dt>Continuous access</dt>
        <dd>{token ? (token.continuous ? 'yes' : 'no') : 'unknown'}</dd>
      </div>
    </dl>
  )
}

function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000))
  const two = (value: number) => String(value).padStart(2, '0')
  return `${Math.floor(seconds / 3600)} h ${two(Math.floor(seconds / 60) % 60)} min ${two(seconds % 60)} s`
}
