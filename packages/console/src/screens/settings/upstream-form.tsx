import { Button, Group, PasswordInput, SegmentedControl, Select, SimpleGrid, Stack, TagsInput, Text, TextInput } from '@mantine/core'
import { useState } from 'react'
import type { Upstream } from '../../api/upstreams.ts'
import { Dialog } from '../../parts/dialog.tsx'
import { Pick } from '../../parts/pick.tsx'
import { Problem } from '../../parts/problem.tsx'
import { submitting, useWork } from '../../parts/work.ts'
import { useWrite } from '../../parts/write.ts'
import { t } from '../../texts/texts.ts'

/** What an event may cause, and what it causes unless something else is said. */
const ACTIONS: Record<string, string> = {
  'session-revoked': 'revoke',
  'sessions-revoked': 'revoke',
  'credential-change': 'revoke',
  'credential-compromise': 'revoke',
  'account-disabled': 'disable',
  'account-purged': 'disable',
  'account-enabled': 'enable',
  'account-credential-change-required': 'reevaluate',
  'risk-level-change': 'reevaluate',
  'device-compliance-change': 'reevaluate',
  'token-claims-change': 'reevaluate',
  'assurance-level-change': 'reevaluate',
}
const HARMFUL = ['revoke', 'disable', 'reevaluate', 'ignore'] as const
const WORDS = { revoke: 0, disable: 0, reevaluate: 0, ignore: 0, enable: 0 } as const

interface Draft {
  issuer: string
  displayName: string
  kind: 'client' | 'token'
  clientId: string
  secret: string
  delivery: 'poll' | 'push'
  issuers: string[]
  domains: string[]
  source: string
  subject: 'externalId' | 'userPrincipalName'
  receiver: string
  actions: Record<string, string>
}

const EMPTY: Draft = {
  ...{ issuer: '', displayName: '', kind: 'client', clientId: '', secret: '', delivery: 'poll', issuers: [], domains: [] },
  ...{ source: '', subject: 'externalId', receiver: '', actions: {} },
}

/** Begins to listen to a transmitter, or changes what one may say and cause. Its secret goes in, and never out. */
export function UpstreamForm({ edited, close }: { edited: Upstream | 'new' | undefined; close(): void }) {
  return (
    <Dialog
      opened={edited !== undefined}
      onClose={close}
      size="lg"
      title={t(edited === 'new' || !edited ? 'settings.upstreams.addTitle' : 'settings.upstreams.editTitle')}
    >
      {edited && <Form key={edited === 'new' ? 'new' : edited.id} upstream={edited === 'new' ? undefined : edited} close={close} />}
    </Dialog>
  )
}

function Form({ upstream, close }: { upstream: Upstream | undefined; close(): void }) {
  const write = useWrite()
  const [draft, setDraft] = useState<Draft>(upstream ? { ...EMPTY, ...upstream, receiver: upstream.receiver ?? '' } : EMPTY)
  const { busy, error, work } = useWork()
  const set = (change: Partial<Draft>) => setDraft({ ...draft, ...change })
  const text = (name: 'issuer' | 'displayName' | 'clientId' | 'source') => ({
    label: t(`settings.upstreams.form.${name}`),
    value: draft[name],
    onChange: (event: { currentTarget: { value: string } }) => set({ [name]: event.currentTarget.value }),
    autoComplete: 'off',
    spellCheck: false,
  })
  const save = () =>
    work(async () => {
      await write(upstream ? 'PATCH' : 'POST', upstream ? `/caegis/upstreams/${upstream.id}` : '/caegis/upstreams', {
        ...{ body: bodyOf(draft, upstream), done: t(upstream ? 'settings.upstreams.saved' : 'settings.upstreams.added'), changes: ['upstreams'] },
      })
      close()
    })
  return (
    <form onSubmit={submitting(save)}>
      <Stack gap="sm">
        <TextInput {...text('issuer')} description={t('settings.upstreams.form.issuerHint')} required={!upstream} disabled={upstream !== undefined} />
        <TextInput {...text('displayName')} />
        <Stack gap={4}>
          <Text size="sm" fw={500} id="credentials">
            {t('settings.upstreams.form.credentials')}
          </Text>
          <SegmentedControl
            aria-labelledby="credentials"
            value={draft.kind}
            onChange={(kind) => set({ kind: kind as Draft['kind'] })}
            data={(['client', 'token'] as const).map((value) => ({ value, label: t(`settings.upstreams.form.kinds.${value}`) }))}
          />
        </Stack>
        {draft.kind === 'client' && <TextInput {...text('clientId')} required={!upstream} />}
        <PasswordInput
          label={t(`settings.upstreams.form.secrets.${draft.kind}`)}
          description={upstream && t('settings.upstreams.form.keep')}
          required={!upstream}
          value={draft.secret}
          onChange={(event) => set({ secret: event.currentTarget.value })}
          autoComplete="off"
          visibilityToggleButtonProps={{ 'aria-label': t('settings.upstreams.form.show') }}
        />
        <TagsInput
          label={t('settings.upstreams.form.domains')}
          description={t('settings.upstreams.form.domainsHint')}
          value={draft.domains}
          onChange={(domains) => set({ domains })}
        />
        <Group grow align="flex-start">
          <Select
            label={t('settings.upstreams.form.delivery')}
            data={(['poll', 'push'] as const).map((value) => ({ value, label: t(`settings.upstreams.deliveries.${value}`) }))}
            value={draft.delivery}
            onChange={(delivery) => set({ delivery: delivery as Draft['delivery'] })}
            allowDeselect={false}
          />
          <Select
            label={t('settings.upstreams.form.subject')}
            data={(['externalId', 'userPrincipalName'] as const).map((value) => ({ value, label: t(`settings.upstreams.form.subjects.${value}`) }))}
            value={draft.subject}
            onChange={(subject) => set({ subject: subject as Draft['subject'] })}
            allowDeselect={false}
          />
        </Group>
        <details>
          <summary>{t('settings.upstreams.form.more')}</summary>
          <Stack gap="sm" mt="sm">
            <TagsInput
              label={t('settings.upstreams.issuers')}
              description={t('settings.upstreams.form.issuersHint')}
              value={draft.issuers}
              onChange={(issuers) => set({ issuers })}
            />
            <TextInput {...text('source')} description={t('settings.upstreams.form.sourceHint')} />
            <Pick
              kind="applications"
              label={t('settings.upstreams.form.receiver')}
              description={t('settings.upstreams.form.receiverHint')}
              value={draft.receiver === '' ? [] : [draft.receiver]}
              onChange={([receiver = '']) => set({ receiver })}
            />
            <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="sm">
              {Object.entries(ACTIONS).map(([event, usual]) => (
                <Select
                  key={event}
                  label={event}
                  size="xs"
                  data={(event === 'account-enabled' ? (['enable', 'ignore'] as const) : HARMFUL).map((value) => ({
                    value,
                    label: t(`settings.upstreams.form.actions.${value}`),
                  }))}
                  value={draft.actions[event] ?? usual}
                  onChange={(action) => set({ actions: { ...draft.actions, ...(action !== null && action in WORDS ? { [event]: action } : {}) } })}
                  allowDeselect={false}
                />
              ))}
            </SimpleGrid>
          </Stack>
        </details>
        {Boolean(error) && <Problem error={error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>
            {t('parts.cancel')}
          </Button>
          <Button type="submit" loading={busy}>
            {t(upstream ? 'settings.upstreams.form.save' : 'settings.upstreams.form.create')}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}

/** What is empty is left to its default; a secret that nobody typed stays as it is. */
function bodyOf(draft: Draft, upstream: Upstream | undefined): object {
  const { issuer, displayName, kind, clientId, secret, delivery, issuers, domains, source, subject, receiver, actions } = draft
  const credentials = secret === '' ? {} : { credentials: kind === 'client' ? { clientId, clientSecret: secret } : { accessToken: secret } }
  return {
    ...(upstream ? {} : { issuer: issuer.trim() }),
    ...(displayName.trim() === '' ? {} : { displayName: displayName.trim() }),
    ...credentials,
    ...{ delivery, domains, subject },
    ...(issuers.length === 0 ? {} : { issuers }),
    ...(source === '' ? {} : { source }),
    ...(receiver === '' ? {} : { receiver }),
    ...(Object.keys(actions).length === 0 ? {} : { actions }),
  }
}
