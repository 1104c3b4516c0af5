import { Button, Group as Line, Stack, Textarea, TextInput } from '@mantine/core'
import { useState } from 'react'
import { ApiError } from '../../api/client.ts'
import type { Group } from '../../api/groups.ts'
import { Dialog } from '../../parts/dialog.tsx'
import { Problem } from '../../parts/problem.tsx'
import { submitting, useWork } from '../../parts/work.ts'
import { useWrite } from '../../parts/write.ts'
import { t } from '../../texts/texts.ts'

interface EditGroupProps {
  /** Absent: a new one. */
  group?: Group
  opened: boolean
  onClose(): void
  onMade?(group: Group): void
}

/** Makes a group, or says what it is called. */
export function EditGroup({ opened, ...props }: EditGroupProps) {
  return (
    <Dialog
      opened={opened}
      onClose={props.onClose}
      title={props.group ? t('groups.edit.title', { name: props.group.displayName }) : t('groups.edit.newTitle')}
    >
      {opened && <Form {...props} />}
    </Dialog>
  )
}

function Form({ group, onClose, onMade }: Omit<EditGroupProps, 'opened'>) {
  const write = useWrite()
  // What was read when the form was opened: what came meanwhile must not be overwritten unseen.
  const [before] = useState(group)
  const [displayName, setDisplayName] = useState(group?.displayName ?? '')
  const [description, setDescription] = useState(group?.description ?? '')
  const { busy, error, work } = useWork()
  const go = async () => {
    const body = { displayName: displayName.trim(), description: description.trim() || null }
    await work(async () => {
      if (before) {
        const etag = before['@odata.etag']
        await write('PATCH', `/groups/${before.id}`, {
          ...{ body, done: t('groups.edit.done'), changes: ['groups'] },
          ...(etag === undefined ? {} : { headers: { 'if-match': etag } }),
        })
        onClose()
      } else {
        const made = await write<Group>('POST', '/groups', { body, done: t('groups.edit.made', { name: body.displayName }), changes: ['groups'] })
        onMade?.(made.body)
      }
    })
  }
  const taken = error instanceof ApiError && error.status === 409
  return (
    <form onSubmit={submitting(go)}>
      <Stack>
        <TextInput
          label={t('groups.name')}
          required
          maxLength={256}
          value={displayName}
          onChange={(event) => setDisplayName(event.currentTarget.value)}
          error={taken && t('groups.edit.taken')}
          autoComplete="off"
          data-autofocus
        />
        <Textarea
          label={t('groups.description')}
          maxLength={1024}
          autosize
          minRows={2}
          value={description}
          onChange={(event) => setDescription(event.currentTarget.value)}
        />
        {Boolean(error) && !taken && <Problem error={error} />}
        <Line justify="flex-end" gap="xs">
          <Button variant="default" onClick={onClose}>
            {t('parts.cancel')}
          </Button>
          <Button type="submit" loading={busy}>
            {before ? t('groups.edit.save') : t('groups.edit.create')}
          </Button>
        </Line>
      </Stack>
    </form>
  )
}
