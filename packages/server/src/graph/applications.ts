import { z } from 'zod'
import type { Application } from '../directory/application.ts'
import { toCredential } from '../directory/credentials.ts'
import { type Api, pathOf, written } from './api.ts'
import { notFound } from './errors.ts'

const name = z.string().min(1).max(256)
const patch = z.strictObject({ accountEnabled: z.boolean() })
const password = z.strictObject({ passwordCredential: z.strictObject({ displayName: name, endDateTime: z.iso.datetime().optional() }) })
const certificate = z.strictObject({ displayName: name, pem: z.string().max(16_384) })
const key = z.strictObject({ keyId: z.string().min(1).max(320) })

/** `servicePrincipals`, by client id: whether one may be used, and what it proves itself with. */
export function registerApplications({ origin, route }: Api): void {
  const url = '/servicePrincipals/:id'

  route('GET', url, { does: 'Shows an application', needs: ['Application.Read.All'] }, async (caller, request) => {
    const app = await caller.tenant.applications.find(pathOf(request))
    if (!app) throw notFound()
    return shape(app, `${origin}/v1.0/$metadata#servicePrincipals/$entity`)
  })

  route(
    'PATCH',
    url,
    { does: 'Enables or disables an application', needs: ['Application.ReadWrite.All'], body: patch },
    async (caller, request, reply, { accountEnabled }) => {
      return written(reply, await caller.tenant.applications.setEnabled(caller.actor, pathOf(request), accountEnabled))
        .code(204)
        .send()
    },
  )

  route(
    'POST',
    `${url}/addPassword`,
    { does: 'Adds a secret; its text is in the answer only', needs: ['Application.ReadWrite.All'], body: password },
    async (caller, request, reply, body) => {
      const { displayName, endDateTime } = body.passwordCredential
      const expires = endDateTime === undefined ? {} : { expiresAt: Math.floor(Date.parse(endDateTime) / 1000) }
      const done = await caller.tenant.applications.addSecret(caller.actor, pathOf(request), { displayName, ...expires })
      return written(reply, done).send({ keyId: done.result.id, displayName, secretText: done.result.secret, endDateTime: endDateTime ?? null })
    },
  )

  route(
    'POST',
    `${url}/addKey`,
    { does: 'Adds a certificate', needs: ['Application.ReadWrite.All'], body: certificate },
    async (caller, request, reply, given) => {
      const done = await caller.tenant.applications.addCertificate(caller.actor, pathOf(request), given)
      return written(reply, done).send({ keyId: done.result, displayName: given.displayName })
    },
  )

  for (const action of ['removePassword', 'removeKey'])
    route(
      'POST',
      `${url}/${action}`,
      { does: 'Removes a secret or a certificate', needs: ['Application.ReadWrite.All'], body: key },
      async (caller, request, reply, { keyId }) => {
        const done = await caller.tenant.applications.removeCredential(caller.actor, pathOf(request), keyId)
        if (!done.result) throw notFound()
        return written(reply, done).code(204).send()
      },
    )
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
