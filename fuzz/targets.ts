import { GUARDS } from './guards.ts'
import { SERVERS } from './servers.ts'
import { SIGNALS } from './signals.ts'
import type { Target } from './target.ts'

/** Every parser that meets strangers, as far as it runs without a server; `parsers.ts` says which is where. */
export const targets: Target[] = [...SIGNALS, ...GUARDS, ...SERVERS]
