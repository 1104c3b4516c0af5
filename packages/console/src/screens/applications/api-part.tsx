import { Button, Checkbox, Divider, Group, Stack, Switch, TagsInput, Text } from '@mantine/core'
import { useState } from 'react'
import { type Application, applicationPath } from '../../api/applications.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { Problem } from '../../parts/problem.tsx'
import { Section } from '../../parts/section.tsx'
import { submitting, useWork } from '../../parts/work.ts'
import { useWrite } from '../../parts/write.ts'
import { t } from '../../texts/texts.ts'

const CLAIMS = ['email', 'upn', 'groups', 'login_hint', 'acct', 'acrs'] as const

/** What it offers to others, and what tokens for it hold. */
export function ApiPart({ application }: { application: Application }) {
  const { appId, cae, identifierUris, api, optionalClaims } = application
  const write = useWrite()
  const confirm = useConfirm()
  const known = {
    uris: identifierUris,
    scopes: api.oauth2PermissionScopes.map(({ value }) => value),
    claims: optionalClaims.accessToken.map(({ name }) => name),
  }
  const [draft, setDraft] = useState(known)
  const { busy, error, work } = useWork()
  const change = (body: object, done: string) => write('PATCH', applicationPath(appId), { body, done, changes: ['applications'] })
  const body = {
    identifierUris: draft.uris,
    api: { oauth2PermissionScopes: draft.scopes.map((value) => ({ value })) },
    optionalClaims: { accessToken: draft.claims.map((name) => ({ name })) },
  }
  const gone = known.scopes.filter((one) => !draft.scopes.includes(one))
  const lostUris = known.uris.filter((one) => !draft.uris.includes(one))
  const save = async () => {
    if (gone.length + lostUris.length > 0)
      return confirm({
        ...{ title: t('applications.api.withdrawTitle'), text: t('applications.api.withdrawText'), action: t('applications.api.withdraw') },
        affects: [...lostUris, ...gone],
        run: () => change(body, t('applications.saved')),
      })
    await work(async () => {
      await change(body, t('applications.saved'))
    })
  }
  const turn = (isOn: boolean) =>
    confirm({
      title: t(isOn ? 'applications.cae.onTitle' : 'applications.cae.offTitle'),
      text: t(isOn ? 'applications.cae.onText' : 'applications.cae.offText'),
      action: t(isOn ? 'applications.cae.turnOn' : 'applications.cae.turnOff'),
      danger: !isOn,
      run: () => change({ cae: isOn }, t(isOn ? 'applications.cae.isOn' : 'applications.cae.isOff')),
    })
  return (
    <Section title={t('applications.api.title')} text={t('applications.api.text')}>
      <Group justify="space-between" align="flex-start" gap="md">
        <Stack gap={4} style={{ flex: '1 1 20rem' }} maw={720}>
          <Text fw={600}>{t('applications.cae.title')}</Text>
          <Text size="sm">{t('applications.cae.text')}</Text>
        </Stack>
        <Switch
          checked={cae}
          onChange={(event) => turn(event.currentTarget.checked)}
          label={t(cae ? 'applications.cae.on' : 'applications.cae.off')}
          aria-label={t('applications.cae.title')}
        />
      </Group>
      <Divider />
      <form onSubmit={submitting(save)}>
        <Stack gap="md">
          <TagsInput
            label={t('applications.api.uris')}
            description={t('applications.identifierUriHint')}
            value={draft.uris}
            onChange={(uris) => setDraft({ ...draft, uris })}
            acceptValueOnBlur
          />
          <TagsInput
            label={t('applications.api.scopes')}
            description={t('applications.api.scopesHint')}
            value={draft.scopes}
            onChange={(scopes) => setDraft({ ...draft, scopes })}
            acceptValueOnBlur
          />
          <Checkbox.Group
            label={t('applications.api.claims')}
            description={t('applications.api.claimsHint')}
            value={draft.claims}
            onChange={(claims) => setDraft({ ...draft, claims })}
          >
            <Group gap="lg" mt="xs">
              {CLAIMS.map((name) => (
                <Checkbox key={name} value={name} label={t(`applications.api.claimNames.${name}`)} />
              ))}
            </Group>
          </Checkbox.Group>
          {Boolean(error) && <Problem error={error} />}
          <Group>
            <Button type="submit" variant="default" loading={busy} disabled={JSON.stringify(draft) === JSON.stringify(known)}>
              {t('applications.api.save')}
            </Button>
          </Group>
        </Stack>
      </form>
    </Section>
  )
}
