import { type PolicyTemplate, TEMPLATES } from '@caegis/policy'
import type { PolicyJson } from '../directory/policies.ts'
import { type Api, pathOf } from './api.ts'
import { notFound } from './errors.ts'

/** `identity/conditionalAccess/templates`: policies that most tenants begin with. */
export function registerTemplates({ origin, route }: Api): void {
  const url = '/identity/conditionalAccess/templates'
  const of = (rest: string) => ({ '@odata.context': `${origin}/v1.0/$metadata#identity/conditionalAccess/templates${rest}` })

  route('GET', url, { does: 'Lists templates of Conditional Access policies', needs: ['Policy.Read.All'] }, async () => ({
    ...of(''),
    value: TEMPLATES.map(shape),
  }))

  route('GET', `${url}/:id`, { does: 'Shows a template of a Conditional Access policy', needs: ['Policy.Read.All'] }, async (_, request) => {
    const found = templateOf(pathOf(request))
    if (!found) throw notFound()
    return { ...of('/$entity'), ...shape(found) }
  })
}

function shape({ name, description, policy }: PolicyTemplate): object {
  const { displayName, state: _, ...details } = policy
  return { id: name, name: displayName, description, details }
}

function templateOf(id: unknown): PolicyTemplate | undefined {
  return TEMPLATES.find(({ name }) => name === id)
}

/** What the template that a policy names says, as far as the policy itself says nothing. Somebody else's template says nothing here. */
export function withTemplate(given: PolicyJson): PolicyJson {
  const template = templateOf(given.templateId)
  if (!template) return given
  const { conditions } = template.policy as { conditions: object }
  const own = given.conditions
  const merged = typeof own === 'object' && own !== null && !Array.isArray(own) ? { conditions: { ...conditions, ...own } } : {}
  return { ...template.policy, ...given, ...merged }
}
