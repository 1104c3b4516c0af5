import { Alert, Anchor, Group, Text } from '@mantine/core'
import { Link } from 'wouter'
import { Icon } from '../../parts/icon.tsx'
import { t, tn } from '../../texts/texts.ts'
import type { useUsedBy } from './used-by.ts'

/** What an edit of a location does, before it is saved. */
export function Consequences({ uses }: { uses: ReturnType<ReturnType<typeof useUsedBy>> }) {
  const enforced = uses.filter((one) => one.enforced)
  return (
    <Alert
      variant="light"
      color={enforced.length > 0 ? 'blue' : 'gray'}
      icon={<Icon name="policy" />}
      title={tn('locations.effect.title', uses.length)}
    >
      {uses.length > 0 && (
        <Group gap="sm" mb={4}>
          {uses.map(({ id, displayName }) => (
            <Anchor key={id} component={Link} href={`/policies/${id}`} size="sm">
              {displayName}
            </Anchor>
          ))}
        </Group>
      )}
      <Text size="sm">{t(enforced.length > 0 ? 'locations.effect.enforced' : 'locations.effect.none')}</Text>
    </Alert>
  )
}
