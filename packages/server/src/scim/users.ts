import { CaegisError } from '@caegis/protocol'
import type { FastifyReply } from 'fastify'
import type { User } from '../directory/directory.ts'
import { SERVER_ERRORS } from '../errors.ts'
import { type Answered, answerList, answerOne, type Caller, type Scim, versionCheck } from './api.ts'
import { notFound } from './errors.ts'
import { applyPatch, readPatch } from './patch.ts'
import { differences, fullName, readUser, type Said, toScimUser, USER, userFilters } from './user.ts'

/** `Users` (RFC 7644 section 3). */
export function registerUsers({ route }: Scim): void {
  route('GET', '/Users', (caller, request) =>
    answerList(USER.schema, userFilters(caller.source), request, caller.tenant.directory.users, (user) => toScimUser(user, caller)),
  )

  route('GET', '/Users/:id', async (caller, request, reply) =>
    answerOne(USER.schema, request, reply, toScimUser(await existing(caller, request.params.id), caller)),
  )

  route('POST', '/Users', async (caller, request, reply) => {
    const said = readUser(request.body)
    const done = await caller.tenant.directory.createUser(caller.actor, { ...said, displayName: fullName(said), source: caller.source })
    const user = toScimUser(await existing(caller, done.result), caller)
    return answerOne(USER.schema, request, reply.code(201).headers({ location: user.meta.location, 'caegis-txn': done.txn }), user)
  })

  route('PUT', '/Users/:id', async (caller, request, reply) => {
    const user = await existing(caller, request.params.id)
    return save(caller, request, reply, user, readUser(request.body))
  })

  route('PATCH', '/Users/:id', async (caller, request, reply) => {
    const operations = readPatch(USER, request.body)
    const user = await existing(caller, request.params.id)
    return save(caller, request, reply, user, readUser(applyPatch(toScimUser(user, caller), operations)))
  })

  route('DELETE', '/Users/:id', async (caller, request, reply) => {
    const { id } = await existing(caller, request.params.id)
    const { txn } = await caller.tenant.directory.remove(caller.actor, id, checkOf(caller, request))
    return reply.code(204).header('caegis-txn', txn).send()
  })
}

async function save(caller: Caller, request: Answered, reply: FastifyReply, user: User, said: Said): Promise<unknown> {
  const { directory } = caller.tenant
  const { externalId, password, ...changes } = differences(readUser(toScimUser(user, caller)), said)
  const done = await directory.update(
    caller.actor,
    user.id,
    {
      ...changes,
      // Whom nobody else keeps becomes the client's by being given its id; whom another system keeps is known here by that system's.
      ...(externalId === undefined || !['', caller.source].includes(user.source) ? {} : { externalId, source: caller.source }),
      // Provisioning again is no reset: what is the password already ends nothing.
      ...(password === undefined || (await directory.isPassword(user.id, password)) ? {} : { password }),
    },
    checkOf(caller, request, password !== undefined),
  )
  return answerOne(USER.schema, request, reply.header('caegis-txn', done.txn), toScimUser(await existing(caller, user.id), caller))
}

/** Who names a version changes that one only. That a password is an administrator's already is not to be found out by trying. */
function checkOf(caller: Caller, request: Answered, setsPassword = false): (user: User) => void {
  const versions = versionCheck(request)
  return (user) => {
    if (setsPassword && user.roles.length > 0) throw new CaegisError('administrator', SERVER_ERRORS.administrator)
    versions(() => toScimUser(user, caller).meta.version)
  }
}

/** By id alone: a user name in the path would be another way to ask who there is. */
async function existing({ tenant }: Caller, id: string): Promise<User> {
  const user = await tenant.directory.user(id)
  if (user?.id !== id) throw notFound()
  return user
}
