import { bearerTokenAuthenticationPolicy, createDefaultHttpClient, createEmptyPipeline, createPipelineRequest } from '@azure/core-rest-pipeline'
import { ClientSecretCredential } from '@azure/identity'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { claimsOf, eventually, type Loop, SECRET, startLoop } from './loop.ts'

describe('unmodified Azure SDK', () => {
  let loop: Loop
  beforeAll(async () => {
    loop = await startLoop()
  })
  afterAll(() => loop.close())

  it('a daemon answers the challenge of a guard by itself, and goes on', async () => {
    const credential = new ClientSecretCredential('contoso', 'nightly', SECRET, { authorityHost: loop.origin, disableInstanceDiscovery: true })
    const sent: string[] = []
    const statuses: number[] = []
    const pipeline = createEmptyPipeline()
    pipeline.addPolicy(bearerTokenAuthenticationPolicy({ credential, scopes: `${loop.origin}/.default` }))
    const http = createDefaultHttpClient()
    const call = async () => {
      const answer = await pipeline.sendRequest(
        {
          async sendRequest(request) {
            sent.push(String(request.headers.get('authorization')).slice('Bearer '.length))
            const one = await http.sendRequest(request)
            statuses.push(one.status)
            return one
          },
        },
        createPipelineRequest({ url: `${loop.origin}/v1.0/users` }),
      )
      return answer.status
    }
    expect(await call()).toBe(200)
    expect(await call()).toBe(200)
    const [first, again] = sent as [string, string]
    expect(again).toBe(first)
    expect(claimsOf(first)).toMatchObject({ xms_cc: ['cp1'], idtyp: 'app', azp: 'nightly' })

    const form = { client_id: 'nightly', client_secret: SECRET, token: first }
    expect((await fetch(`${loop.authority}/oauth2/v2.0/revoke`, { method: 'POST', body: new URLSearchParams(form) })).status).toBe(200)
    await eventually(
      async () => (await fetch(`${loop.origin}/v1.0/users`, { headers: { authorization: `Bearer ${first}` } })).status,
      (status) => status === 401,
    )
    statuses.length = 0
    expect(await call()).toBe(200)
    expect(statuses).toEqual([401, 200])
    expect(sent.at(-1)).not.toBe(first)
  })
})
