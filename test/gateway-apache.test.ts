import { describe } from 'vitest'
import { behindProxy } from './gateway-suite.ts'
import { APACHE, has, startApache } from './proxies.ts'

describe.skipIf(!has(APACHE))('the gateway behind Apache', () => {
  behindProxy(startApache)
})
