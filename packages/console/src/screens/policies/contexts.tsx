import { ActionIcon, Button, Group, Select, Stack, Switch, Text, Textarea, TextInput } from '@mantine/core'
import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { useApi } from '../../api/context.ts'
import { type AuthenticationContext, CONTEXTS, useContexts } from '../../api/contexts.ts'
import { useConfirm } from '../../parts/confirm.tsx'
import { useDelete } from '../../parts/delete.ts'
import { Dialog } from '../../parts/dialog.tsx'
import { Empty } from '../../parts/empty.tsx'
import { Icon } from '../../parts/icon.tsx'
import { ListTable } from '../../parts/list-table.tsx'
import { useNotify } from '../../parts/notices.tsx'
import { Problem } from '../../parts/problem.tsx'
import { Status } from '../../parts/status.tsx'
import { submitting, useWork } from '../../parts/work.ts'
import { t } from '../../texts/texts.ts'

const IDS = Array.from({ length: 99 }, (_, at) => `c${at + 1}`)

/** Authentication contexts: what applications ask for by name, and policies give a meaning. */
export function Contexts() {
  const confirm = useConfirm()
  const leave = useDelete()
  const query = useContexts()
  const [edited, setEdited] = useState<AuthenticationContext & { isNew: boolean }>()
  const taken = new Set(query.data?.map(({ id }) => id))
  const free = IDS.filter((id) => !taken.has(id))
  const begin = () => setEdited({ id: free[0] ?? 'c1', displayName: '', description: null, isAvailable: true, isNew: true })

  const remove = ({ id, displayName }: AuthenticationContext) =>
    confirm({
      ...{ title: t('policies.contexts.remove.title', { id, name: displayName }), text: t('policies.contexts.remove.text') },
      action: t('policies.contexts.remove.action'),
      run: () => leave({ path: `${CONTEXTS}/${id}`, id, kind: 'contexts', done: t('policies.contexts.removed', { id }), proof: true }),
    })

  return (
    <Stack gap="md">
      <Group justify="space-between" gap="sm">
        <Text size="sm" c="dimmed" maw={640}>
          {t('policies.contexts.text')}
        </Text>
        <Button variant="default" onClick={begin} leftSection={<Icon name="plus" size={16} />} disabled={free.length === 0}>
          {t('policies.contexts.new')}
        </Button>
      </Group>
      <ListTable
        label={t('policies.tabs.contexts')}
        columns={[
          { header: t('policies.contexts.id'), cell: ({ id }) => id },
          {
            header: t('policies.name'),
            cell: (one) => (
              <>
                <Text size="sm" fw={600}>
                  {one.displayName}
                </Text>
                <Text size="sm" c="dimmed">
                  {one.description}
                </Text>
              </>
            ),
          },
          {
            header: t('policies.state'),
            cell: ({ isAvailable }) => (
              <Status tone={isAvailable ? 'good' : 'quiet'}>{t(isAvailable ? 'policies.contexts.offered' : 'policies.contexts.notOffered')}</Status>
            ),
          },
          {
            header: t('policies.more'),
            cell: (one) => (
              <Group gap={4} wrap="nowrap">
                <Button
                  size="compact-sm"
                  variant="subtle"
                  onClick={() => setEdited({ ...one, isNew: false })}
                  aria-label={t('policies.contexts.edit', { id: one.id })}
                >
                  {t('policies.contexts.change')}
                </Button>
                <ActionIcon variant="subtle" color="red" aria-label={t('policies.contexts.delete', { id: one.id })} onClick={() => remove(one)}>
                  <Icon name="trash" size={16} />
                </ActionIcon>
              </Group>
            ),
          },
        ]}
        list={{
          rows: query.data,
          error: query.error,
          hasNextPage: false,
          isFetchingNextPage: false,
          fetchNextPage: () => {},
          refetch: query.refetch,
        }}
        rowKey={({ id }) => id}
        empty={<Empty icon="key" title={t('policies.contexts.empty.title')} text={t('policies.contexts.empty.text')} />}
      />
      <Dialog
        opened={edited !== undefined}
        onClose={() => setEdited(undefined)}
        title={edited && t(edited.isNew ? 'policies.contexts.new' : 'policies.contexts.edit', { id: edited.id })}
      >
        {edited && <ContextForm context={edited} ids={edited.isNew ? free : [edited.id]} close={() => setEdited(undefined)} />}
      </Dialog>
    </Stack>
  )
}

function ContextForm({ context, ids, close }: { context: AuthenticationContext; ids: string[]; close(): void }) {
  const api = useApi()
  const notify = useNotify()
  const queries = useQueryClient()
  const [draft, setDraft] = useState({ ...context, description: context.description ?? '' })
  const { busy, error, work } = useWork()
  const save = () =>
    work(async () => {
      const { id, displayName, description, isAvailable } = draft
      const { txn } = await api.send('PATCH', `${CONTEXTS}/${id}`, {
        displayName: displayName.trim(),
        description: description.trim() || null,
        isAvailable,
      })
      notify({ text: t('policies.contexts.saved', { id }), txn })
      close()
      await queries.invalidateQueries({ queryKey: ['contexts'] })
    })
  return (
    <form onSubmit={submitting(save)}>
      <Stack>
        <Select
          label={t('policies.contexts.id')}
          description={t('policies.contexts.idHint')}
          data={ids}
          value={draft.id}
          onChange={(id) => setDraft({ ...draft, id: id ?? draft.id })}
          disabled={ids.length === 1}
          allowDeselect={false}
        />
        <TextInput
          label={t('policies.name')}
          required
          maxLength={256}
          value={draft.displayName}
          onChange={({ currentTarget: { value } }) => setDraft({ ...draft, displayName: value })}
          data-autofocus
        />
        <Textarea
          label={t('policies.description')}
          maxLength={4096}
          value={draft.description}
          onChange={({ currentTarget: { value } }) => setDraft({ ...draft, description: value })}
        />
        <Switch
          label={t('policies.contexts.offer')}
          description={t('policies.contexts.offerHint')}
          checked={draft.isAvailable}
          onChange={({ currentTarget: { checked } }) => setDraft({ ...draft, isAvailable: checked })}
        />
        {Boolean(error) && <Problem error={error} />}
        <Group justify="flex-end" gap="xs">
          <Button variant="default" onClick={close}>
            {t('parts.cancel')}
          </Button>
          <Button type="submit" loading={busy}>
            {t('policies.save')}
          </Button>
        </Group>
      </Stack>
    </form>
  )
}
