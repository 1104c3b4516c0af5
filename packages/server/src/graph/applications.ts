import { z } from 'zod'
import type { Application } from '../directory/application.ts'
import { toCredential } from '../directory/credentials.ts'
import { type Api, pathOf, readBody, searchOf, written } from './api.ts'
import { authorize } from './caller.ts'
import { notFound } from './errors.ts'
import { parseQuery } from './query.ts'

const name = z.string().min(1).max(256)
const patch = z.strictObject({ accountEnabled: z.boolean() })
const password = z.strictObject({ passwordCredential: z.strictObject({ displayName: name, endDateTime: z.iso.datetime().optional() }) })
const certificate = z.strictObject({ displayName: name, pem: z.string().max(16_384) })
const key = z.strictObject({ keyId: z.string().min(1).max(320) })

/** `servicePrincipals`, by client id: whether one may be used, and what it proves itself with. */
export function registerApplications({ origin, route }: Api): void {
  const url = '/servicePrincipals/:id'

  route('GET', url, async (caller, request) => {
    parseQuery(searchOf(request), [])
    await authorize(caller, 'Application.Read.All')
    const app = await caller.tenant.applications.find(pathOf(request))
    if (!app) throw notFound()
    return shape(app, `${origin}/v1.0/$metadata#servicePrincipals/$entity`)
  })

  route('PATCH', url, async (caller, request, reply) => {
    const { accountEnabled } = readBody(patch, request.body)
    const actor = await authorize(caller, 'Application.ReadWrite.All')
    return written(reply, await caller.tenant.applications.setEnabled(actor, pathOf(request), accountEnabled))
      .code(204)
      .send()
  })

  route('POST', `${url}/addPassword`, async (caller, request, reply) => {
    const { displayName, endDateTime } = readBody(password, request.body).passwordCredential
    const actor = await authorize(caller, 'Application.ReadWrite.All')
    const expires = endDateTime === undefined ? {} : { expiresAt: Math.floor(Date.parse(endDateTime) / 1000) }
    const done = await caller.tenant.applications.addSecret(actor, pathOf(request), { displayName, ...expires })
    return written(reply, done).send({ keyId: done.result.id, displayName, secretText: done.result.secret, endDateTime: endDateTime ?? null })
  })

  route('POST', `${url}/addKey`, async (caller, request, reply) => {
    const given = readBody(certificate, request.body)
    const actor = await authorize(caller, 'Application.ReadWrite.All')
    const done = await caller.tenant.applications.addCertificate(actor, pathOf(request), given)
    return written(reply, done).send({ keyId: done.result, displayName: given.displayName })
  })

  for (const action of ['removePassword', 'removeKey'])
    route('POST', `${url}/${action}`, async (caller, request, reply) => {
      const { keyId } = readBody(key, request.body)
      const actor = await authorize(caller, 'Application.ReadWrite.All')
      const done = await caller.tenant.applications.removeCredential(actor, pathOf(request), keyId)
      if (!done.result) throw notFound()
      return written(reply, done).code(204).send()
    })
}

function shape(app: Application, context: string): object {
  const time = (seconds: number | null) => (seconds === null ? null : `${new Date(seconds * 1000).toISOString().slice(0, 19)}Z`)
  const of = (kind: string) =>
    app.credentials
      .filter((one) => one.kind === kind)
      .map(toCredential)
      .map((one) => ({ keyId: one.id, displayName: one.displayName, startDateTime: time(one.notBefore), endDateTime: time(one.expiresAt) }))
  return {
    '@odata.context': context,
    ...{ id: app.id, appId: app.appId, displayName: app.displayName, accountEnabled: app.enabled },
    ...{ passwordCredentials: of('secret'), keyCredentials: of('certificate') },
  }
}
