"""The callback of the rank monitor in a training of Lightning's."""

import lightning
import torch

from sonoscale.rank.lightning import RankMonitorCallback


class Module(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(8, 4)

    def forward(self, x):
        return self.layer(x)

    def training_step(self, batch, index):
        return self(batch[0]).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


rows = torch.randn(64, 8)
loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(rows), batch_size=16)
monitor = RankMonitorCallback(rows, every_n_steps=2)
trainer = lightning.Trainer(
    max_epochs=1, callbacks=[monitor], logger=False, enable_checkpointing=False, enable_progress_bar=False,
    accelerator="cpu",
)  # fmt: skip
trainer.fit(Module(), loader)
assert any(name.startswith("rank/") for name in trainer.callback_metrics)
print("RankMonitorCallback")
