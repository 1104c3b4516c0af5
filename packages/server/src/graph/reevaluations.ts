import type { ReevaluationJob } from '../directory/reevaluations.ts'
import { type Api, pathOf, searchOf } from './api.ts'
import { notFound } from './errors.ts'
import { parseTop } from './query.ts'

/** `identity/conditionalAccess/reevaluations`, which is ours: what edits mean for those who are signed in, and how far that is worked out. By the edit's txn. */
export function registerReevaluations({ origin, route }: Api): void {
  const url = '/identity/conditionalAccess/reevaluations'
  const needs = ['Policy.Read.All'] as const
  const of = (rest: string) => ({ '@odata.context': `${origin}/v1.0/$metadata#identity/conditionalAccess/reevaluations${rest}` })

  route(
    'GET',
    url,
    { does: 'Lists edits and what became of the decisions before them', needs: [...needs], options: ['$top'] },
    async ({ tenant }, request) => {
      return { ...of(''), value: (await tenant.reevaluations.list(parseTop(searchOf(request)))).map(toJson) }
    },
  )

  route('GET', `${url}/:id`, { does: 'Shows what became of the decisions before an edit', needs: [...needs] }, async ({ tenant }, request) => {
    const found = await tenant.reevaluations.find(pathOf(request))
    if (!found) throw notFound()
    return { ...of('/$entity'), ...toJson(found) }
  })
}

const toTime = (seconds: number) => new Date(seconds * 1000).toISOString()

function toJson({ at, running, createdAt, endedAt, concerned, ...rest }: ReevaluationJob): object {
  return {
    ...rest,
    ...{ state: running ? 'running' : 'done', effectiveDateTime: toTime(at), createdDateTime: toTime(createdAt) },
    ...{ endedDateTime: endedAt === null ? null : toTime(endedAt), concerned },
  }
}
