import { describe } from 'vitest'
import { behindProxy } from './gateway-suite.ts'
import { CADDY, has, startCaddy } from './proxies.ts'

describe.skipIf(!has(CADDY))('the gateway behind Caddy', () => {
  behindProxy(startCaddy)
})
