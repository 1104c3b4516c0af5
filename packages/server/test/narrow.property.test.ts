import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { Application } from '../src/directory/application.ts'
import { narrowScopes, permittedScopes, type Resource } from '../src/issuer/resources.ts'

const NAMES = ['Mail.Read', 'Mail.Send', 'Files.Read', 'Files.Write', 'Chat']
const URI = 'api://mail'
const some = fc.subarray(NAMES)

it('never wider: an exchange gives nothing that was not asked for, permitted to the agent, and held by the token that it trades', () => {
  let given = 0
  fc.assert(
    fc.property(some, some, some, some, fc.boolean(), fc.boolean(), (scopes, held, permissions, asked, all, isDefault) => {
      const resource: Resource = { uri: URI, audience: URI, scopes, cae: true, kind: 'api' }
      const app = { permissions: all ? [`${URI}/.default`] : permissions.map((name) => `${URI}/${name}`) } as Application
      const permitted = permittedScopes(app, resource)
      const words = [...asked.map((name) => `${URI}/${name}`), ...(isDefault ? [`${URI}/.default`] : [])]
      const { granted, refused } = narrowScopes(resource, words, permitted, held)
      for (const name of granted) {
        expect(scopes).toContain(name)
        expect(held).toContain(name)
        expect(all || permissions.includes(name)).toBe(true)
        expect(isDefault || asked.includes(name)).toBe(true)
        given += 1
      }
      // Nothing that was asked for by name and might be had is passed over in silence.
      for (const name of asked) if (permitted.includes(name)) expect(granted.includes(name) || refused.includes(name)).toBe(true)
      // And no less than could be: whoever asks for all gets what both hold.
      if (isDefault) expect(granted).toEqual(permitted.filter((name) => held.includes(name)))
    }),
    { numRuns: 1000 },
  )
  expect(given).toBeGreaterThan(100)
})
